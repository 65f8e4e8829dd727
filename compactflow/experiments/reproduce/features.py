"""Labelled feature vectors in classes, split into training and test rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from compactflow.experiments.datasets import read_arrays

__all__ = ["Features", "load"]

_ARRAYS = ("X", "y", "split")
_NOISE = 0.01  # per feature; on the unit hypersphere a feature is about D^(-1/2)


@dataclass(frozen=True, eq=False)
class Features:
    """Feature vectors of several classes.

    Attributes:
        name: Of the data set.
        X: The vectors, ``(n, D)``, on the unit hypersphere but for a little noise.
        y: The class of each row, ``(n,)``.
        test: Which rows are for testing, ``(n,)``.
        images: What the test rows describe, ``(m, height, width)`` or ``(m, height, width, 3)``.
        fingerprint: SHA-256 of the vectors before the noise, the classes and the split.
    """

    name: str
    X: NDArray[np.float64]
    y: NDArray[Any]
    test: NDArray[np.bool_]
    images: NDArray[Any] | None
    fingerprint: str

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in order."""
        return [str(label) for label in np.unique(self.y)]

    def rows(self, label: str, *, test: bool) -> NDArray[np.intp]:
        """The indices of the training or test rows of one class."""
        return np.flatnonzero((self.y.astype(str) == label) & (self.test == test))

    def image(self, row: int) -> NDArray[Any]:
        """What a test row describes, ``(height, width)`` or ``(height, width, 3)``.

        Raises:
            ValueError: If there are no images.
        """
        if self.images is None:
            raise ValueError(
                f"{self.name}.npz has no array images: (n, height, width) or (n, height, width, "
                "3), for all rows or for the test rows alone"
            )
        return np.asarray(self.images[np.count_nonzero(self.test[:row])])


def load(path: Path | None, seed: int) -> Features:
    """Read a feature file, or take scikit-learn's digits.

    Rows are scaled to the unit hypersphere, and normal noise of standard deviation 0.01 is added
    to every feature, drawn with the seed.

    Args:
        path: An ``.npz`` file with ``X`` ``(n, D)``, classes ``y`` ``(n,)``, ``split`` ``(n,)``
            of the words train and test, and if it likes ``images``, of all rows or of the test
            rows alone; ``None`` for the digits, half of which, drawn with the seed, are for
            testing.
        seed: Of the noise.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such feature file; the message says why.
    """
    name, arrays = (
        ("digits", _digits(seed))
        if path is None
        else (path.stem, read_arrays(path, _ARRAYS, "feature", optional=["images"]))
    )
    X, y, split = (arrays[key] for key in _ARRAYS)
    try:
        X = X.astype(np.float64)
        images = arrays.get("images")
        _check(X, y, split, images)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    digest = hashlib.sha256()
    for array in (X, y.astype(str), split.astype(str)):
        digest.update(np.ascontiguousarray(array).tobytes())
    noise = np.random.default_rng(seed).normal(scale=_NOISE, size=X.shape)
    X = X / np.linalg.norm(X, axis=1, keepdims=True) + noise
    test = split == "test"
    if images is not None and len(images) == len(X):
        images = images[test]
    return Features(name, X, y, test, images, digest.hexdigest())


def _digits(seed: int) -> dict[str, NDArray[Any]]:
    data = load_digits()
    _, test = train_test_split(
        np.arange(len(data.target)), test_size=0.5, stratify=data.target, random_state=seed
    )
    split = np.full(len(data.target), "train")
    split[test] = "test"
    return {"X": data.data, "y": data.target, "split": split, "images": data.images}


def _check(
    X: NDArray[np.float64], y: NDArray[Any], split: NDArray[Any], images: NDArray[Any] | None
) -> None:
    if X.ndim != 2 or y.shape != (len(X),) or split.shape != (len(X),):
        raise ValueError(
            f"X must be (n, D), y (n,) and split (n,), got {X.shape}, {y.shape} and {split.shape}"
        )
    tests = int((split == "test").sum())
    if images is not None and (
        len(images) not in (len(X), tests)
        or images.ndim not in (3, 4)
        or images.shape[3:] not in ((), (3,))
    ):
        raise ValueError(
            f"images must be (n, height, width) or (n, height, width, 3) with n = {len(X)}, or "
            f"{tests} for the test rows alone, got {images.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        raise ValueError(f"X must be finite, but row {bad[0]} is not, of {len(bad)} such rows")
    zero = np.flatnonzero(~X.any(axis=1))
    if len(zero):
        raise ValueError(f"row {zero[0]} of X is zero and has no place on the unit hypersphere")
    if not np.isin(split, ["train", "test"]).all():
        found = ", ".join(map(repr, np.unique(split)[:4].tolist()))
        raise ValueError(f"split must hold only the words 'train' and 'test', got {found}")
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"y must hold at least two classes, got {len(classes)}")
    for label in classes:
        for part, least in {"train": 2, "test": 1}.items():
            count = int(((y == label) & (split == part)).sum())
            if count < least:
                raise ValueError(
                    f"each class needs at least {least} {part} rows, but class {label} has {count}"
                )
