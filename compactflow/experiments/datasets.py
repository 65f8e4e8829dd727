"""Labelled data sets and the clean one-class protocol."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Split", "load_npz", "read_arrays", "split"]

_LARGEST = 20_000  # rows; of more, so many are drawn
_MOST_PACKED = 1100  # bytes that one byte can stand for in an .npz file
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What reading a damaged file can raise, by its zip, its compression, its headers and its sizes.
_DAMAGES = (
    *(KeyError, ValueError, OSError, TypeError, EOFError, MemoryError, NotImplementedError),
    *(RuntimeError, OverflowError, zipfile.BadZipFile, zlib.error),
)


class Split(NamedTuple):
    """Training inliers and test rows.

    Attributes:
        train: Inliers, ``(N, D)``; with some outliers if that was asked for.
        test: All other rows, ``(M, D)``.
        outlier: Which test rows are outliers, ``(M,)``.
    """

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    outlier: NDArray[np.bool_]


def load_npz(path: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Read a data set in ADBench's format: arrays ``X`` ``(n, D)`` and ``y`` ``(n,)``.

    Returns:
        The rows and which of them are outliers (``y == 1``).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such data set.
    """
    arrays = read_arrays(path, ("X", "y"), "data")
    X, y = arrays["X"], arrays["y"]
    if X.ndim != 2 or y.shape != (len(X),):
        raise ValueError(f"{path}: X must be (n, D) and y (n,), got {X.shape} and {y.shape}")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"{path}: X must hold numbers, got {X.dtype}")
    X = X.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        raise ValueError(f"{path}: X must be finite, but row {bad[0]} is not, of {len(bad)} such")
    strange = [str(value) for value in np.unique(y) if value not in (0, 1)]
    if strange:
        raise ValueError(
            f"{path}: y must be 1 for outliers and 0 for others, but holds "
            f"{', '.join(strange[:5])}"
        )
    outlier = np.asarray(y == 1)
    if outlier.all() or not outlier.any():
        raise ValueError(f"{path}: y must mark some rows as outliers by 1, and not all")
    return X, outlier


def read_arrays(
    path: Path, names: Sequence[str], kind: str, optional: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read arrays of an ``.npz`` file; what it claims to hold is compared with its size first.

    Args:
        path: The file.
        names: The arrays that must be there.
        kind: What kind of file it is, for messages.
        optional: Arrays that may be there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, if an array holds objects, or if one is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {kind} file {path}")
    needed = " and ".join(names)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            found = [name for name in (*names, *optional) if f"{name}.npy" in members]
            for name in found:
                _check_size(archive, f"{name}.npy")
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"it lacks the array {' and '.join(missing)}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in found}
    except _DAMAGES as error:
        raise ValueError(
            f"{path} is not an .npz file with arrays {needed} that can be read: {error}"
        ) from error


def _check_size(archive: zipfile.ZipFile, member: str) -> None:
    """Compare what an array's header claims with what is there.

    Raises:
        ValueError: If they differ.
    """
    info = archive.getinfo(member)
    if info.file_size > _MOST_PACKED * (info.compress_size + 1000):
        raise ValueError(f"{member} claims {info.file_size} bytes, which it cannot hold")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{member} is of an unknown version")
        shape, _, dtype = _HEADERS[version](file)
        claimed, there = prod(shape) * dtype.itemsize, info.file_size - file.tell()
    if dtype.hasobject:
        return  # these are refused when they are read
    if claimed != there or min(shape, default=0) < 0:
        raise ValueError(f"{member} claims {claimed} bytes of numbers and has {there}")


def split(X: ArrayLike, outlier: ArrayLike, seed: int, *, dirty: float = 0.0) -> Split:
    """Split by the clean one-class protocol.

    Of more than 20,000 rows, 20,000 are drawn without replacement. The inliers are shuffled; the
    first half is for training, all other rows are for testing.

    Args:
        X: Rows, ``(n, D)``.
        outlier: Which of them are outliers, ``(n,)``.
        seed: Of the draws.
        dirty: Share of the outliers that is mixed into training, in [0, 1): at least one if it is
            not 0, and never all. The test inliers are the same whatever it is.
    """
    X, outlier = np.asarray(X), np.asarray(outlier, dtype=bool)
    rng = np.random.default_rng(seed)
    if len(X) > _LARGEST:
        drawn = rng.choice(len(X), _LARGEST, replace=False)
        X, outlier = X[drawn], outlier[drawn]
    inliers = rng.permutation(np.flatnonzero(~outlier))
    train = inliers[: len(inliers) // 2]
    if dirty:
        outliers = rng.permutation(np.flatnonzero(outlier))
        count = min(max(1, round(dirty * len(outliers))), len(outliers) - 1)
        train = rng.permutation(np.concatenate([train, outliers[:count]]))
    test = np.setdiff1d(np.arange(len(X)), train)
    return Split(X[train], X[test], outlier[test])
