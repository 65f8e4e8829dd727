"""The search for an inlier near an outlier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.flows.ensemble import Ensemble

__all__ = ["change_features", "project", "shorten"]

Array = NDArray[np.float64]

_VALUES = 33  # to choose from for each feature
_STEP = 4  # of these every fourth is tried for each feature, and those between for
_REFINED = 16  # the most promising features
_CHUNK = 1 << 17  # numbers in the rows tried at a time, few enough for the cache
_HALVINGS = 40


def change_features(
    ensemble: Ensemble, X: Array, typical: Array, *, changes: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Make outliers inliers by setting single features to other values, one after the other.

    Each time the change is made that lowers the signed distance most. The smallest change that
    makes a row an inlier would often blame the wrong feature where the row is just outside: any
    feature then has such a change, but only the right one takes the row deep inside.

    Args:
        ensemble: The fitted flows.
        X: Outliers, ``(N, D)``.
        typical: Inliers, ``(M, D)``, whose quantiles are the values to try.
        changes: Features to change at most.

    Returns:
        The changed rows ``(N, D)`` and which of them are inliers, ``(N,)``.
    """
    values = np.quantile(typical, np.linspace(0, 1, _VALUES), axis=0).T
    X, found = X.copy(), np.zeros(len(X), dtype=bool)
    # Twice as fast, and it chooses another change only where two score almost alike.
    quick = ensemble.in_precision(torch.float32)
    rows_at_once = max(1, _CHUNK * _STEP // (values.size * X.shape[1]))
    for _ in range(changes):
        left = np.flatnonzero(~found)
        if not len(left):
            break
        for first in range(0, len(left), rows_at_once):
            rows = left[first : first + rows_at_once]
            feature, value = _best_change(quick, X[rows], values)
            X[rows, feature] = value
        found[left] = ensemble.signed_distance(X[left]) <= 0
    return X, found


def _best_change(ensemble: Ensemble, X: Array, values: Array) -> tuple[NDArray[np.int64], Array]:
    """The change of one feature to one of its values that lowers the signed distance most.

    Between values the distance mostly has one valley, so a coarse search shows where to refine.

    Args:
        ensemble: The fitted flows.
        X: Rows, ``(N, D)``.
        values: The values of each feature, ascending, ``(D, V)``.

    Returns:
        The feature and its value, each ``(N,)``.
    """
    n, dim = X.shape
    distance = np.full((n, *values.shape), np.inf)

    def attempt(row: NDArray[np.int64], feature: NDArray[np.int64], k: NDArray[np.int64]) -> None:
        tried = X[row]
        tried[np.arange(len(row)), feature] = values[feature, k]
        distance[row, feature, k] = ensemble.signed_distance(tried)

    attempt(*(each.ravel() for each in np.mgrid[:n, :dim, :_VALUES:_STEP]))
    promising = np.argsort(distance.min(axis=2), axis=1, kind="stable")[:, :_REFINED]
    row, feature = np.arange(n).repeat(promising.shape[1]), promising.ravel()
    step = _STEP // 2
    while step:
        k = distance[row, feature].argmin(axis=1)
        sides = np.concatenate([k - step, k + step]).clip(0, _VALUES - 1)
        attempt(np.tile(row, 2), np.tile(feature, 2), sides)
        step //= 2
    best = distance.reshape(n, -1).argmin(axis=1)
    feature, k = np.divmod(best, _VALUES)
    return feature, values[feature, k]


def project(ensemble: Ensemble, X: Array, typical: Array) -> Array:
    """Make outliers inliers by moving their latents to the nearest point of the support.

    Where the boundary lies inside the support, the latent moves on towards the nearest latent of
    an inlier.

    Args:
        ensemble: The fitted flows.
        X: Outliers, ``(N, D)``.
        typical: Inliers, ``(M, D)``.

    Returns:
        Decoded latents just inside the boundary, ``(N, D)``.
    """
    Z, goals = ensemble.encode(X), ensemble.encode(typical)
    projected = ensemble.project(Z)
    nearest = torch.cdist(torch.from_numpy(projected), torch.from_numpy(goals)).argmin(dim=1)
    inside = ensemble.signed_distance(ensemble.decode(projected)) <= 0
    start = np.where(inside[:, None], Z, projected)
    goal = np.where(inside[:, None], projected, goals[nearest.numpy()])
    return shorten(ensemble, start, goal, ensemble.decode)


def shorten(
    ensemble: Ensemble,
    start: Array,
    goal: Array,
    decode: Callable[[Array], Array],
) -> Array:
    """Find points just inside the boundary on the lines from outliers to inliers, by bisection.

    Args:
        ensemble: The fitted flows.
        start: ``(N, D)``, which decode to outliers.
        goal: ``(N, D)``, which decode to inliers.
        decode: Maps such points to data.
    """
    outside, inside = np.zeros((len(start), 1)), np.ones((len(start), 1))
    reached = decode(goal)
    for _ in range(_HALVINGS):
        share = (outside + inside) / 2
        tried = decode(start + share * (goal - start))
        good = ensemble.signed_distance(tried)[:, None] <= 0
        reached = np.where(good, tried, reached)
        inside, outside = np.where(good, share, inside), np.where(good, outside, share)
    return reached
