"""Outliers among the training rows."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import compactflow

pytestmark = pytest.mark.usefixtures("small_default")


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    kind = np.array([7.0, 0.0])
    train = np.concatenate([rng.normal(size=(900, 2)), kind + 0.1 * rng.normal(size=(100, 2))])
    new = np.concatenate([rng.normal(size=(500, 2)), kind + 0.1 * rng.normal(size=(50, 2))])
    return rng.permutation(train), new, np.repeat([False, True], [500, 50])


def fit(train, **options):
    return compactflow.build(members=2, max_steps=20, random_state=0, **options).fit(train)


def test_outliers_of_a_kind_are_found_although_they_were_trained_on(rows):
    train, new, outlier = rows
    unaware, aware = fit(train), fit(train, outlier_share=0.13)  # a little more than there are
    blind, seeing = (
        roc_auc_score(outlier, detector.signed_distance(new)) for detector in (unaware, aware)
    )
    assert blind < 0.9 < seeing
    # The boundary keeps its level of the inliers, and not of all rows.
    assert 0.9 < (aware.predict(new[~outlier]) == 1).mean() < 0.99
    assert (aware.predict(new[outlier]) == -1).mean() > 0.9
    assert (unaware.predict(new[outlier]) == -1).mean() < 0.1


def test_the_share_says_how_many_neighbours_count_after_a_reload_too(rows, tmp_path):
    train, new, _ = rows
    detector = fit(train, outlier_share=0.1)
    neighbours = detector.ensemble_.neighbours[0]
    more = round(0.2 * len(neighbours.rows))
    assert neighbours.nearest.tolist() == [1 + more, 5 + more, 20 + more]
    detector.save(tmp_path / "dirty.model")
    loaded = compactflow.load(tmp_path / "dirty.model")
    assert loaded.outlier_share == 0.1
    assert np.array_equal(loaded.signed_distance(new), detector.signed_distance(new))


@pytest.mark.parametrize(("score", "of"), [("blend", ["neighbours"]), ("quantile", "neighbours")])
def test_the_share_reaches_neighbours_inside_other_scores(rows, score, of):
    train, new, outlier = rows
    inside = {"score_by": score, "score_options": {"of": of}}
    blind, seeing = (
        roc_auc_score(outlier, fit(train, outlier_share=share, **inside).signed_distance(new))
        for share in (0, 0.13)
    )
    assert blind < 0.9 < seeing


@pytest.mark.parametrize("share", [-0.1, 0.5, float("nan")])
def test_a_share_that_is_none_is_refused(rows, share):
    with pytest.raises(ValueError, match="outlier_share"):
        fit(rows[0], outlier_share=share)
