"""A few rows that are known to be outliers."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

import compactflow
from compactflow.flows.neighbours import Neighbours

pytestmark = pytest.mark.usefixtures("small_default")

SMALL = {"max_steps": 5, "members": 2, "random_state": 0}


def hidden(seed=0):
    """Inliers in six columns, and outliers of one kind, hidden among noise."""
    rng = np.random.default_rng(seed)
    inliers, outliers = rng.normal(size=(600, 6)), rng.normal(size=(60, 6))
    outliers[:, 0] += 2.5
    return inliers, outliers


@pytest.mark.parametrize(("known", "least"), [(1, 0.02), (5, 0.05)])
def test_few_known_outliers_find_more_of_their_kind(known, least):
    inliers, outliers = hidden()
    X, y = np.r_[inliers[:300], outliers[:known]], np.repeat([1, -1], [300, known])
    new, truth = np.r_[inliers[300:], outliers[5:]], np.repeat([0, 1], [300, 55])
    plain = compactflow.build(**SMALL).fit(inliers[:300])
    leaning = compactflow.build(**SMALL).fit(X, y)
    gain = [roc_auc_score(truth, each.signed_distance(new)) for each in (leaning, plain)]
    assert gain[0] > gain[1] + least
    assert (leaning.predict(inliers[300:]) == 1).mean() == pytest.approx(0.95, abs=0.05)
    assert (leaning.predict(outliers[:known]) == -1).mean() > 0.5


def test_known_outliers_train_nothing_and_place_no_boundary():
    inliers, outliers = hidden()
    far = np.r_[inliers, outliers + 1e4]
    plain = compactflow.build(**SMALL).fit(inliers)
    leaning = compactflow.build(**SMALL).fit(far, np.repeat([1, -1], [600, 60]))
    np.testing.assert_array_equal(plain.transform(inliers), leaning.transform(inliers))
    np.testing.assert_array_equal(plain.ranges_.high, leaning.ranges_.high)
    assert len(leaning.calibration_.scores) == len(plain.calibration_.scores)
    # Rows away from them score as they did, but for the boundary.
    away = -3 * np.ones((1, 6))
    scores = [
        float(each.signed_distance(away)[0] + each.ensemble_.level) for each in (plain, leaning)
    ]
    assert scores[0] == scores[1]


@pytest.mark.parametrize("y", [None, np.arange(600) % 3, np.full(600, 1), ["a"] * 600])
def test_other_labels_are_ignored(y):
    inliers, _ = hidden()
    plain, labelled = compactflow.build(**SMALL).fit(inliers), compactflow.build(**SMALL)
    labelled.fit(inliers, y)
    np.testing.assert_array_equal(
        plain.signed_distance(inliers), labelled.signed_distance(inliers)
    )


def test_tables_files_and_all_ways_to_score_lean_alike(tmp_path):
    inliers, outliers = hidden()
    table = pd.DataFrame(np.r_[inliers, outliers], columns=list("abcdef"))
    table["g"] = np.where(table["a"] > 2, "hot", "cool")
    table.loc[3, "b"] = table.loc[610, "c"] = np.nan
    detector = compactflow.build(**SMALL).fit(table, np.repeat([0, -1], [600, 60]))
    scores = detector.signed_distance(table)
    detector.save(tmp_path / "model")
    np.testing.assert_array_equal(
        compactflow.load(tmp_path / "model").signed_distance(table), scores
    )
    rows = detector.check_rows(table[20:80])
    each = [detector.ensemble_.member_scores(rows, m) for m in range(2)]
    mean = np.mean(each, axis=0) - detector.ensemble_.level
    np.testing.assert_allclose(mean, scores[20:80], atol=1e-9)


def test_what_lies_in_the_direction_of_outliers_gains_a_logarithm():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.normal(size=(500, 3)) * [1.0, 5.0, 1.0])
    neighbours = Neighbours(3, rows=500).double()
    neighbours.fit(rows, lambda y: y)
    y = torch.tensor([[6.0, 0.0, 0.0], [-6.0, 0.0, 0.0], [0.0, 20.0, 0.0]]).double()
    before = neighbours(y, y)
    neighbours.lean(y[:1], y[:1])
    gained = neighbours(y, y) - before
    # 6 standard deviations out, where 95 % of the rows are below 1.645
    assert float(gained[0]) == pytest.approx(np.log(1 + 6 - 1.645), abs=0.1)
    assert float(gained[1:].abs().max()) < 0.1


@pytest.mark.parametrize(
    ("y", "message"),
    [([-1] * 600, "y is -1, an outlier, in all rows"), ([-1, 1], "a label for each of 600 rows")],
)
def test_labels_that_leave_nothing_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        compactflow.build(**SMALL).fit(hidden()[0], y)


def test_other_scores_say_that_they_do_without():
    inliers, outliers = hidden()
    detector = compactflow.build(**SMALL, score_by="support")
    with pytest.warns(UserWarning, match="only score_by='neighbours' leans towards"):
        detector.fit(np.r_[inliers, outliers], np.repeat([1, -1], [600, 60]))
