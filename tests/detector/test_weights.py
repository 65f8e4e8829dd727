"""Rows that count more than others, in training and in the boundary."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import compactflow
from compactflow.detector.calibration import Calibration
from compactflow.detector.weights import gather
from compactflow.training.holdout import HoldOut

pytestmark = pytest.mark.usefixtures("small_default")

SMALL = {"max_steps": 5, "members": 2, "random_state": 0, "validation_fraction": 0.25}


def test_the_boundary_keeps_its_level_of_rows_as_frequent_as_the_weights_say():
    rng = np.random.default_rng(0)
    X, new = rng.uniform(-4, 4, size=(1500, 1)), rng.normal(size=(3000, 1))
    weights = np.exp(-(X[:, 0] ** 2) / 2)  # so that uniform rows stand for normal ones
    weighed = compactflow.build(**SMALL, boundary=0.8).fit(X, sample_weight=weights)
    plain = compactflow.build(**SMALL, boundary=0.8).fit(X)
    assert (weighed.predict(new) == 1).mean() == pytest.approx(0.8, abs=0.05)
    rare = np.linspace(2.5, 3.5)[:, None]
    assert (plain.predict(rare) == 1).mean() > 0.5 > (weighed.predict(rare) == 1).mean()
    held_out = len(weighed.calibration_.scores)
    assert held_out < len(plain.calibration_.scores)  # uneven weights are worth fewer rows


def test_rows_of_little_weight_hardly_make_inliers():
    rng = np.random.default_rng(0)
    trusted, doubtful = rng.normal(size=(300, 2)), rng.normal(size=(60, 2)) + 9
    X, weights = np.concatenate([trusted, doubtful]), np.repeat([1.0, 0.001], [300, 60])
    alike = compactflow.build(**SMALL).fit(X)
    weighed = compactflow.build(**SMALL).fit(X, sample_weight=weights)
    assert (alike.predict(doubtful) == 1).mean() > 0.7
    assert (weighed.predict(doubtful) == -1).all()
    left_out = compactflow.build(**SMALL).fit(X, sample_weight=np.repeat([1.0, 0.0], [300, 60]))
    removed = compactflow.build(**SMALL).fit(trusted)
    np.testing.assert_array_equal(left_out.signed_distance(X), removed.signed_distance(X))


@pytest.mark.parametrize("members", [1, 4])
def test_each_network_trains_on_rows_as_often_as_they_weigh(members):
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.integers(1, 5, size=200).astype(float))
    hold_out = HoldOut.of(200, members, 0.1, weights=weights)
    taken, judging = hold_out.training_rows(), hold_out.judging_rows()
    drawn = hold_out.draw(20000, torch.Generator().manual_seed(0))
    for m in range(members):
        own = torch.bincount(taken[:, m], minlength=200)
        wanted = weights.clone()
        wanted[judging[:, m]] = 0
        wanted *= len(taken) / wanted.sum()
        assert ((own - wanted).abs() < 1).all()
        seen = torch.bincount(drawn[:, m], minlength=200) * len(taken) / len(drawn)
        assert (seen[own == 0] == 0).all()
        assert float((seen - own).abs().max()) < 1


def test_weights_of_scores_are_ranks_and_worth():
    scores = np.array([4.0, 1.0, 3.0, 2.0])
    alike = Calibration.of(scores, held_out=True, weights=np.full(4, 7.0))
    np.testing.assert_array_equal(alike.scores, np.sort(scores))
    uneven = Calibration.of(scores, held_out=True, weights=np.array([1.0, 8.0, 1.0, 1.0]))
    assert uneven.scores.tolist() == [4.0]  # 11² / 67 = 1.8
    many = Calibration.of(
        np.arange(2000.0), held_out=True, weights=np.repeat([3.0, 1.0], [1000, 1000])
    )
    assert len(many.scores) == 1600
    assert np.mean(many.scores < 1000) == pytest.approx(0.75, abs=0.002)


def test_what_is_written_several_times_is_one_row_of_more_weight():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 3))
    rows, weights = gather(np.repeat(X, np.repeat([1, 3], 25), axis=0), np.ones(100), None)
    assert len(rows) == 50
    np.testing.assert_allclose(np.sort(weights), np.repeat([0.5, 1.5], 25))
    few = rng.integers(0, 3, size=(100, 2)).astype(float)  # where copies come by chance
    assert gather(few, np.ones(100), None)[1] is None
    groups = np.repeat([0, 1], 50)  # and of different patients they are different
    assert gather(np.tile(X, (2, 1)), np.ones(100), groups)[1] is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0] * 59, r"sample_weight must have a weight for each of 60 rows, got \(59,\)"),
        ([1.0] * 59 + [-2.0], "at least 0, got -2 in row 60"),
        ([np.nan] + [1.0] * 59, "finite and at least 0, got nan in row 1"),
        ([0.0] * 60, "must not be zero in all rows"),
        (["heavy"] * 60, "sample_weight must be numbers"),
    ],
)
def test_weights_that_are_none_are_refused(weights, message):
    X = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(ValueError, match=message):
        compactflow.build(**SMALL).fit(X, sample_weight=weights)


@pytest.mark.parametrize(
    "as_table", [pd.DataFrame, lambda X: pa.table(dict(zip("ab", X.T, strict=True)))]
)
def test_tables_and_pipelines_take_weights(as_table):
    X = np.random.default_rng(0).normal(size=(60, 2))
    weights = np.repeat([0.0, 1.0, 2.0], 20)
    detector = compactflow.build(**SMALL).fit(as_table(X), sample_weight=weights)
    plain = compactflow.build(**SMALL).fit(X, sample_weight=list(weights))
    np.testing.assert_array_equal(detector.signed_distance(as_table(X)), plain.signed_distance(X))
    pipeline = make_pipeline(StandardScaler(), compactflow.build(**SMALL))
    pipeline.fit(X, oneclassflow__sample_weight=weights)
    assert pipeline.predict(X).shape == (60,)
