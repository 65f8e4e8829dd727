import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from compactflow.experiments import datasets


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
        ({"X": np.eye(3), "y": [1, -1, 1]}, "holds -1"),
        ({"X": np.eye(3), "y": ["normal", "anomaly", "normal"]}, "holds anomaly, normal"),
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


def header(shape, descr="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize(
    "shape", [(10**12, 3), (10**9, 1), (2**62, 2**62), (4, 1), (2, 1), (3, -1), (-3, -1)]
)
def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path, shape):
    path = npz(tmp_path / "a.npz", X=header(shape) + bytes(24), y=header((3,)) + bytes(24))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.npz .*X\.npy claims"):
            datasets.load_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "start",
    [
        b"\x93NUMPY\x01\x00\xff\x7f" + b"(" * 32767,
        b"\x93NUMPY\x03\x00" + bytes(99),
        b"\x93NUMPY",
        b"",
        header((3,), "|O"),
    ],
    ids=["deep", "version", "cut", "empty", "objects"],
)
def test_a_damaged_header_is_refused(tmp_path, start):
    path = npz(tmp_path / "a.npz", X=start, y=header((3,)) + bytes(24))
    with pytest.raises(ValueError, match=r"a\.npz is not an \.npz file"):
        datasets.load_npz(path)


def test_damaged_bytes_are_read_or_refused(tmp_path):
    path = tmp_path / "a.npz"
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.integers(2, size=30)
    for save in (np.savez, np.savez_compressed):
        save(path, X=X, y=y)
        content = path.read_bytes()
        for _ in range(200):
            place = rng.integers(len(content))
            damaged = content[:place] + bytes([rng.integers(256)]) + content[place + 1 :]
            path.write_bytes(damaged)
            try:
                datasets.load_npz(path)
            except ValueError as error:
                assert "a.npz" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("X", "word"),
    [
        (np.array([[1.0], [np.nan], [2]]), "row 1 is not"),
        (np.array([[1j], [2], [3]]), "numbers, got complex128"),
        (np.array([["a"], ["b"], ["c"]]), "numbers, got <U1"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path, X, word):
    np.savez(tmp_path / "a.npz", X=X, y=[0, 1, 0])
    with pytest.raises(ValueError, match=rf"a\.npz: X must .*{word}"):
        datasets.load_npz(tmp_path / "a.npz")
