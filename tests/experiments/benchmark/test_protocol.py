import numpy as np
import pytest
from benches import save

from compactflow.experiments import datasets


@pytest.mark.parametrize("inliers", [60, 61])
def test_split_trains_on_half_the_inliers_and_tests_on_all_other_rows(tmp_path, inliers):
    save(tmp_path / "set.npz", inliers=inliers)
    X, outlier = datasets.load_npz(tmp_path / "set.npz")
    train, test, test_outlier = datasets.split(X, outlier, seed=0)
    rows = {tuple(row) for row in X[~outlier]}
    assert {tuple(row) for row in train} <= rows
    assert len(train) == inliers // 2
    assert test_outlier.sum() == 10
    both = np.concatenate([train, test])
    assert np.array_equal(np.unique(both, axis=0), np.unique(X, axis=0))
    assert len(both) == len(X)


def test_of_many_rows_20000_are_drawn_without_replacement():
    X = np.arange(25_000.0)[:, None]
    train, test, outlier = datasets.split(X, X[:, 0] % 5 == 0, seed=0)
    both = np.concatenate([train, test])
    assert len(both) == len(np.unique(both)) == 20_000
    assert len(train) == (20_000 - outlier.sum()) // 2


def test_outliers_in_training_are_not_tested_and_the_inliers_stay():
    X = np.arange(100.0)[:, None]
    outlier = X[:, 0] >= 60
    clean = datasets.split(X, outlier, 0)
    for dirty, count in [(0.001, 1), (0.25, 10), (0.999, 39)]:
        train, test, flags = datasets.split(X, outlier, 0, dirty=dirty)
        assert (train[:, 0] >= 60).sum() == count
        assert set(train[train < 60]) == set(clean.train[:, 0])
        assert set(test[~flags, 0]) == set(clean.test[~clean.outlier, 0])
        assert len(np.unique(np.concatenate([train, test]))) == 100
    # They are not all at the end, where a detector that holds rows out would see them together.
    assert np.ptp(np.flatnonzero(datasets.split(X, outlier, 0, dirty=0.25).train >= 60)) > 10


def test_seeds_split_differently(tmp_path):
    save(tmp_path / "set.npz")
    first, second = (
        datasets.split(*datasets.load_npz(tmp_path / "set.npz"), seed).train for seed in (0, 1)
    )
    assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))
