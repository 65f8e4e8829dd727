"""Columns whose gaps tell something."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

__all__ = ["telling_gaps"]

Array = NDArray[np.float64]

_CHANCE = 0.001  # that a gap which tells nothing is taken for one that does


def telling_gaps(blocks: list[Array]) -> list[int]:
    """The parts whose gaps depend on the values or the gaps of others: one of those alike.

    Args:
        blocks: The features of each part, ``(N, K)``.
    """
    gaps = np.column_stack([np.isnan(block[:, 0]) for block in blocks]).astype(np.float64)
    parts = np.arange(len(blocks))
    owner = np.concatenate([parts, parts.repeat([block.shape[1] for block in blocks])])
    others = np.column_stack([gaps, *(_filled(block) for block in blocks)])
    bound = -ndtri(_CHANCE / (2 * others.shape[1])) / sqrt(len(gaps))
    related = np.abs(_standardised(gaps).T @ _standardised(others)) / len(gaps) > bound
    related &= owner != parts[:, None]
    first = np.unique(gaps, axis=1, return_index=True)[1]
    return np.intersect1d(first, np.flatnonzero(related.any(axis=1))).tolist()


def _filled(block: Array) -> Array:
    gaps = np.isnan(block)
    known = np.where(gaps, 0, block)
    mean = known.sum(axis=0) / np.maximum((~gaps).sum(axis=0), 1)
    return np.where(gaps, mean, known)


def _standardised(X: Array) -> Array:
    centred = X - X.mean(axis=0)
    scale = centred.std(axis=0)
    return centred / np.where(scale > 0, scale, 1)
