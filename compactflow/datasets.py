"""Labelled data sets and the clean one-class protocol."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Split", "load_npz", "split"]

_LARGEST = 20_000  # rows; of more, so many are drawn


class Split(NamedTuple):
    """Training inliers and test rows.

    Attributes:
        train: Inliers, ``(N, D)``.
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
    if not path.is_file():
        raise FileNotFoundError(f"there is no data file {path}")
    try:
        with np.load(path, allow_pickle=False) as file:
            X, y = np.asarray(file["X"], dtype=np.float64), np.asarray(file["y"])
    except (KeyError, ValueError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz file with arrays X and y: {error}") from error
    if X.ndim != 2 or y.shape != (len(X),):
        raise ValueError(f"{path}: X must be (n, D) and y (n,), got {X.shape} and {y.shape}")
    outlier = y == 1
    if outlier.all() or not outlier.any():
        raise ValueError(f"{path}: y must mark some rows as outliers by 1, and not all")
    return X, outlier


def split(X: ArrayLike, outlier: ArrayLike, seed: int) -> Split:
    """Split by the clean one-class protocol.

    Of more than 20,000 rows, 20,000 are drawn without replacement. The inliers are shuffled; the
    first half is for training, all other rows are for testing.
    """
    X, outlier = np.asarray(X), np.asarray(outlier, dtype=bool)
    rng = np.random.default_rng(seed)
    if len(X) > _LARGEST:
        drawn = rng.choice(len(X), _LARGEST, replace=False)
        X, outlier = X[drawn], outlier[drawn]
    inliers = rng.permutation(np.flatnonzero(~outlier))
    train = inliers[: len(inliers) // 2]
    test = np.setdiff1d(np.arange(len(X)), train)
    return Split(X[train], X[test], outlier[test])
