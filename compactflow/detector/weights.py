"""How much each row of training counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_weights", "gather"]

Array = NDArray[np.float64]

_OWN = 0.9  # the share of rows with a value of their own in a column, from which it tells them
_OFTEN = 5  # times that rows are there in the mean, beyond which they are values like others


def check_weights(weights: ArrayLike | None, rows: int, name: str = "sample_weight") -> Array:
    """The weights of rows, ``(N,)``; ones if they have none.

    Args:
        weights: As they came.
        rows: N.
        name: What errors call them.

    Raises:
        ValueError: If they are no N finite numbers of at least 0, or all are 0.
    """
    if weights is None:
        return np.ones(rows)
    try:
        found = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers: {error}") from error
    if found.shape != (rows,):
        raise ValueError(f"{name} must have a weight for each of {rows} rows, got {found.shape}")
    unfit = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(unfit):
        raise ValueError(
            f"{name} must be finite and at least 0, got {found[unfit[0]]:g} in row {unfit[0] + 1}"
        )
    if rows and not found.any():
        raise ValueError(f"{name} must not be zero in all rows")
    return found


def gather(
    data: Array, weights: Array, groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], Array | None]:
    """Which rows train, and how much each counts if they do not count alike.

    A row that is there several times is one row of more weight, if two columns tell rows apart:
    then it was written several times, and copies of it that train would spoil a calibration by the
    others. In a table of few values copies are rows like others.

    Args:
        data: The rows, ``(N, D)``, with NaN in gaps.
        weights: Theirs, ``(N,)``, positive.
        groups: The number of each row's group, ``(N,)``. Rows of different groups are different.

    Returns:
        Indices of the rows, and their weights, of mean 1. Where these differ, the rows are in an
        order that does not depend on that of `data`.
    """
    alike = bool((weights == weights[0]).all())
    if alike and any(len(np.unique(column)) == len(data) for column in data.T):
        return np.arange(len(data)), None
    key = np.where(np.isnan(data), -np.inf, data)
    key = key if groups is None else np.column_stack([key, groups])
    _, first, row = np.unique(key, axis=0, return_index=True, return_inverse=True)
    telling = sum(len(np.unique(column)) >= _OWN * len(first) for column in data.T)
    if len(data) / _OFTEN <= len(first) < len(data) and telling >= 2:
        weights = np.bincount(row.ravel(), weights).astype(np.float64)
    else:
        first = np.arange(len(data)) if alike else np.argsort(row.ravel(), kind="stable")
        weights = weights[first]
    return first, None if (weights == weights[0]).all() else weights / weights.mean()
