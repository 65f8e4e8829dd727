"""The search for an inlier near an outlier."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from compactflow.estimator import OneClassFlow

__all__ = ["change_features", "project", "shorten"]

Array = NDArray[np.float64]

_VALUES = 33  # tried for each feature
_CHUNK = 1 << 21  # numbers in the rows tried at a time
_HALVINGS = 40


def change_features(
    detector: OneClassFlow, X: Array, typical: Array, *, changes: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Make outliers inliers by setting single features to other values, one after the other.

    Each time the change is made that lowers the signed distance most. The smallest change that
    makes a row an inlier would often blame the wrong feature where the row is just outside: any
    feature then has such a change, but only the right one takes the row deep inside.

    Args:
        detector: A fitted detector.
        X: Outliers, ``(N, D)``.
        typical: Inliers, ``(M, D)``, whose quantiles are the values to try.
        changes: Features to change at most.

    Returns:
        The changed rows ``(N, D)`` and which of them are inliers, ``(N,)``.
    """
    values = np.quantile(typical, np.linspace(0, 1, _VALUES), axis=0).T
    X, found = X.copy(), np.zeros(len(X), dtype=bool)
    for _ in range(changes):
        left = np.flatnonzero(~found)
        if not len(left):
            break
        distance = _try_values(detector, X[left], values).reshape(len(left), -1)
        best = distance.argmin(axis=1)
        feature, value = np.divmod(best, _VALUES)
        X[left, feature] = values[feature, value]
        found[left] = distance[np.arange(len(left)), best] <= -detector.offset_
    return X, found


def _try_values(detector: OneClassFlow, X: Array, values: Array) -> Array:
    """Signed distance of each row with each feature set to each value, ``(N, D, V)``."""
    n, dim = X.shape
    row, feature = np.divmod(np.arange(n * dim), dim)
    parts = []
    for pairs in np.array_split(np.arange(n * dim), 1 + n * dim * dim * _VALUES // _CHUNK):
        tried = np.repeat(X[row[pairs]], _VALUES, axis=0)
        tried[np.arange(len(tried)), np.repeat(feature[pairs], _VALUES)] = values[
            feature[pairs]
        ].ravel()
        parts.append(detector.signed_distance(tried))
    return np.concatenate(parts).reshape(n, dim, _VALUES)


def project(detector: OneClassFlow, X: Array, typical: Array) -> Array:
    """Make outliers inliers by moving their latents to the nearest point of the support.

    Where the boundary lies inside the support, on from there towards the nearest latent of an
    inlier.

    Args:
        detector: A fitted detector.
        X: Outliers, ``(N, D)``.
        typical: Inliers, ``(M, D)``.

    Returns:
        Decoded latents just inside the boundary, ``(N, D)``.
    """
    Z, goals = detector.transform(X), detector.transform(typical)
    latent = detector.flow_.latent
    with torch.no_grad():
        projected = latent.project(torch.from_numpy(Z).to(latent.like)).double().cpu().numpy()
    nearest = torch.cdist(torch.from_numpy(projected), torch.from_numpy(goals)).argmin(dim=1)
    inside = detector.decision_function(detector.inverse_transform(projected)) >= 0
    start = np.where(inside[:, None], Z, projected)
    goal = np.where(inside[:, None], projected, goals[nearest.numpy()])
    return shorten(detector, start, goal, detector.inverse_transform)


def shorten(
    detector: OneClassFlow, start: Array, goal: Array, decode: Callable[[Array], Array]
) -> Array:
    """The decoded points just inside the boundary on the ways from outliers to inliers.

    Args:
        detector: A fitted detector.
        start: ``(N, D)``, which decode to outliers.
        goal: ``(N, D)``, which decode to inliers.
        decode: Maps such points to data.
    """
    outside, inside = np.zeros((len(start), 1)), np.ones((len(start), 1))
    reached = decode(goal)
    for _ in range(_HALVINGS):
        share = (outside + inside) / 2
        tried = decode(start + share * (goal - start))
        good = detector.decision_function(tried)[:, None] >= 0
        reached = np.where(good, tried, reached)
        inside, outside = np.where(good, share, inside), np.where(good, outside, share)
    return reached
