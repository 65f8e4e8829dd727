"""The search for an inlier near an outlier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.flows.ensemble import Ensemble

__all__ = ["Choices", "change_features", "project", "shorten"]

Array = NDArray[np.float64]

_VALUES = 33  # to choose from for each feature
_STEP = 4  # of these every fourth is tried for each feature, and those between for
_REFINED = 16  # the most promising features
_CHUNK = 1 << 17  # numbers in the rows tried at a time, few enough for the cache
_HALVINGS = 40


@final
@dataclass(frozen=True, kw_only=True)
class Choices:
    """The single changes to try: the values of G groups of features that change together.

    Attributes:
        members: The features of each group, the last one repeated, ``(G, W)``.
        values: Their values, ``(G, V, W)``: of a single feature they ascend.

    Examples:
        >>> import numpy as np
        >>> choices = Choices.of(np.array([[0.0, 1.0, 5.0], [2.0, 3.0, 6.0]]), [[0], [1, 2]])
        >>> choices.members.tolist(), choices.values[1, 0].tolist()
        ([[0, 0], [1, 2]], [1.0, 5.0])
    """

    members: NDArray[np.int64]
    values: Array

    @classmethod
    def of(cls, typical: Array, groups: Sequence[Sequence[int]] | None = None) -> Choices:
        """Those that inliers give.

        Args:
            typical: Inliers, ``(M, D)``, whose quantiles are the values to try, or if there are
                groups, what they have.
            groups: The features of each group; each feature by itself if not given.
        """
        shares = np.linspace(0, 1, _VALUES)
        if groups is None:
            values = np.quantile(typical, shares, axis=0).T
            return cls(members=np.arange(len(values))[:, None], values=values[:, :, None])
        width = max(map(len, groups))
        padded = [[*group, *[group[-1]] * (width - len(group))] for group in groups]
        values = np.empty((len(groups), _VALUES, width))
        for g, (group, features) in enumerate(zip(groups, padded, strict=True)):
            known = typical[:, features]
            known = np.unique(known, axis=0) if len(group) > 1 else np.sort(known, axis=0)
            values[g] = known[(shares * (len(known) - 1)).round().astype(int)]
        return cls(members=np.array(padded), values=values)

    def locked(self, X: Array) -> NDArray[np.bool_]:
        """The groups of rows ``(N, D)`` that are a gap, of which nothing is said, ``(N, G)``."""
        locked: NDArray[np.bool_] = np.all(np.isnan(X)[:, self.members], axis=2)
        return locked


def change_features(
    ensemble: Ensemble,
    X: Array,
    typical: Array,
    *,
    changes: int,
    groups: Sequence[Sequence[int]] | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Make outliers inliers by setting single features to other values, one after the other.

    Each time the change is made that lowers the signed distance most. The smallest change that
    makes a row an inlier would often blame the wrong feature where the row is just outside: any
    feature then has such a change, but only the right one takes the row deep inside.

    Args:
        ensemble: The fitted flows.
        X: Outliers, ``(N, D)``, with NaN in gaps, which stay.
        typical: Inliers, ``(M, D)``, whose values are the ones to try.
        changes: Features, or groups of them, to change at most.
        groups: Features that change together; each by itself if not given.

    Returns:
        The changed rows ``(N, D)`` and which of them are inliers, ``(N,)``.
    """
    choices = Choices.of(typical, groups)
    X, found = X.copy(), np.zeros(len(X), dtype=bool)
    # Twice as fast, and it chooses another change only where two score almost alike.
    quick = ensemble.in_precision(torch.float32)
    rows_at_once = max(1, _CHUNK * _STEP // (choices.values[:, :, 0].size * X.shape[1]))
    for _ in range(changes):
        left = np.flatnonzero(~found)
        if not len(left):
            break
        for first in range(0, len(left), rows_at_once):
            rows = left[first : first + rows_at_once]
            X[rows] = _best_change(quick, X[rows], choices)
        found[left] = ensemble.signed_distance(X[left]) <= 0
    return X, found


def _best_change(ensemble: Ensemble, X: Array, choices: Choices) -> Array:
    """The rows, each with the change that lowers the signed distance most.

    Between values the distance mostly has one valley, so a coarse search shows where to refine.

    Args:
        ensemble: The fitted flows.
        X: Rows, ``(N, D)``.
        choices: The changes to try.

    Returns:
        The changed rows ``(N, D)``.
    """
    n, groups = len(X), len(choices.members)
    distance = np.full((n, groups, _VALUES), np.inf)
    free: NDArray[np.bool_] = np.logical_not(choices.locked(X))

    def change(row: NDArray[np.int64], group: NDArray[np.int64], k: NDArray[np.int64]) -> Array:
        changed = X[row]
        places = np.arange(len(row))[:, None]
        changed[places, choices.members[group]] = choices.values[group, k]
        return changed

    def attempt(row: NDArray[np.int64], group: NDArray[np.int64], k: NDArray[np.int64]) -> None:
        tried = free[row, group]
        row, group, k = row[tried], group[tried], k[tried]
        if len(row):
            distance[row, group, k] = ensemble.signed_distance(change(row, group, k))

    attempt(*(each.ravel() for each in np.mgrid[:n, :groups, :_VALUES:_STEP]))
    promising = np.argsort(distance.min(axis=2), axis=1, kind="stable")[:, :_REFINED]
    row, group = np.arange(n).repeat(promising.shape[1]), promising.ravel()
    step = _STEP // 2
    while step:
        k = distance[row, group].argmin(axis=1)
        sides = np.concatenate([k - step, k + step]).clip(0, _VALUES - 1)
        attempt(np.tile(row, 2), np.tile(group, 2), sides)
        step //= 2
    best = distance.reshape(n, -1).argmin(axis=1)
    group, k = np.divmod(best, _VALUES)
    changed = change(np.arange(n), group, k)
    return np.where(free.any(axis=1, keepdims=True), changed, X)


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
