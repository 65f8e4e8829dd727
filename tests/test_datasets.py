import numpy as np
import pytest

from compactflow import datasets


def test_split_trains_on_half_the_inliers_and_tests_on_all_else():
    X = np.arange(30.0)[:, None]
    outlier = X[:, 0] >= 20
    train, test, is_outlier = datasets.split(X, outlier, seed=1)
    assert len(train) == 10
    assert train.max() < 20
    assert sorted(np.concatenate([train, test])[:, 0]) == list(range(30))
    np.testing.assert_array_equal(is_outlier, test[:, 0] >= 20)
    assert not np.array_equal(train, datasets.split(X, outlier, seed=2).train)
    np.testing.assert_array_equal(train, datasets.split(X, outlier, seed=1).train)


def test_split_draws_from_many_rows():
    X = np.arange(25_000.0)[:, None]
    train, test, _ = datasets.split(X, X[:, 0] < 500, seed=0)
    assert len(np.unique(np.concatenate([train, test]))) == 20_000


def test_a_data_set_is_read(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.eye(3, dtype=np.float32), y=[0, 1, 0])
    X, outlier = datasets.load_npz(tmp_path / "a.npz")
    assert X.dtype == np.float64
    assert outlier.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("arrays", "word"),
    [
        ({"X": np.eye(3)}, "arrays X and y"),
        ({"X": np.eye(3), "y": [0, 1]}, "y \\(n,\\)"),
        ({"X": np.eye(3), "y": [0, 0, 0]}, "mark some rows"),
        ({"X": np.array([["a", {}]], dtype=object), "y": [1]}, "arrays X and y"),
    ],
)
def test_what_is_no_data_set_is_refused(tmp_path, arrays, word):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=word):
        datasets.load_npz(tmp_path / "a.npz")


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"b\.npz"):
        datasets.load_npz(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"c\.npz"):
        datasets.load_npz(tmp_path / "c.npz")
