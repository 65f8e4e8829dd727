"""A score of rows by their distance to the nearest inliers, measured on the graph of a flow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import final

import torch
from torch import Tensor

from compactflow.buffers import Resizable
from compactflow.flows.search import Search

__all__ = ["NEAREST", "Neighbours", "contrast", "references", "shares", "terms"]

_ROWS = 4096  # reference rows at most
_NUMBERS = 47 << 13  # in the reference rows of one flow at most: 1.5 MiB of a file
_COUNTS = (1, 5, 20)  # neighbours whose mean distance is a term of the score
_RELATIVE = 1 / 6  # the weight of the term that compares with the distances around
NEAREST = 5  # rows among which a draw varies
_OUTER = 0.95  # the quantile of the references' own distances that lies at 1
_SHRINK = 0.1  # of the mean variance, added to all where an outlier's direction is sought
_LEAST = 0.1  # of a unit, as a share of the reference points' spread: rounding is far below
_LEAST_RATIO = 0.1  # of the unit of a logarithm
_LAST = 1e-6  # the root of the weight of the last of the rows around
_TINY = 1e-30  # in place of 0, to divide 0 by
_ROUNDINGS = 100  # of the largest value, by which equal rows may differ
_FINE = 0.01  # of that spread, below which distances are not compared


@final
class Neighbours(Resizable):
    """Creates a score of rows: how far they are from the nearest of the reference rows.

    Distances are between points ``(y, g T(y))`` of the graph of a flow: y is a preprocessed row,
    T(y) its latent, and g brings both to one scale. So a row is near the inliers if it is near
    them both as data and as a latent. Of fewer than 4096 reference rows g is less in proportion:
    a flow that few rows trained knows these better than new ones. The score is a weighted mean of
    terms: the mean distance to the nearest 1, 5 and 20 rows, and, with a weight of 1/6, the
    logarithm of the mean distance to 5 over that of the reference rows around, so that a row
    beside a dense cluster is further out than one as far from a thin cluster. Each term is 0 at
    the median of the reference rows, each compared with the others, and 1 where 95 % of them lie
    below.

    The rows within a score form a compact set: all lie near one of finitely many points, and the
    score is continuous.

    Known outliers can `lean` the score: rows that lie in their direction, further than 95 % of the
    reference rows, count as further out.

    Args:
        dim: The number of features D.
        rows: How many reference rows R there are, at least 1.
        more: How many more rows count in each term. Where some reference rows are outliers, few
            rows do not do: outliers of a kind are near each other.
        codes: How many codes of a context P a row carries behind its features.

    Examples:
        >>> neighbours = Neighbours(1, rows=5)
        >>> neighbours.fit(torch.tensor([[0.0], [0.1], [0.2], [0.3], [0.4]]), torch.tanh)
        >>> y = torch.tensor([[0.2], [2.0]])
        >>> neighbours(y, torch.tanh(y)) > 1  # further out than 95 % of the reference rows
        tensor([False,  True])

    References:
        Ramaswamy, Rastogi, Shim (2000), *Efficient algorithms for mining outliers from large data
        sets* (the distance to neighbours as a score); Breunig, Kriegel, Ng, Sander (2000), *LOF:
        identifying density-based local outliers* (the comparison with the rows around).
    """

    nearest: Tensor  # whole numbers, (K,): how many rows count in each term
    rows: Tensor  # (R, D + P), preprocessed
    spacing: Tensor  # (R,), of each row to the others, or (0,) if no term compares with it
    gain: Tensor  # g, a scalar
    centre: Tensor  # the median of each term, (T,)
    unit: Tensor  # from there to the quantile, (T,)
    direction: Tensor  # of known outliers, (2D,), in standard deviations; 0 without any
    start: Tensor  # from where on it counts, a scalar
    strength: Tensor  # and how much, a scalar
    points: Tensor  # (R, 2D), on the graph; made from the rows
    fine: Tensor  # a distance, a scalar; made from the points

    def __init__(self, dim: int, rows: int, more: int = 0, codes: int = 0) -> None:
        super().__init__()
        self.dim = dim
        self.counts = [count + more for count in _COUNTS]
        self.register_buffer("nearest", torch.tensor(self.counts))
        self.register_buffer("rows", torch.zeros(rows, dim + codes))
        self.register_buffer("spacing", torch.zeros(rows))
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("centre", torch.zeros(len(_COUNTS) + 1))
        self.register_buffer("unit", torch.ones(len(_COUNTS) + 1))
        self.register_buffer("direction", torch.zeros(2 * dim))
        self.register_buffer("start", torch.zeros(()))
        self.register_buffer("strength", torch.zeros(()))
        self.register_buffer("points", torch.zeros(rows, 2 * dim), persistent=False)
        self.register_buffer("fine", torch.ones(()), persistent=False)

    @torch.no_grad()
    def fit(self, rows: Tensor, encode: Callable[[Tensor], Tensor]) -> None:
        """Take reference rows and measure their distances.

        Args:
            rows: Preprocessed rows that trained the flow, ``(R, D + P)``.
            encode: Maps them to latents, ``(R, D)``.
        """
        # As a model file has them, in single precision and row by row: products round by layout.
        self.rows = rows.float().to(rows).contiguous()
        features = self.rows[:, : self.dim]
        trust = min(1, len(rows) / _ROWS)
        self.gain = (trust * _size(features) / _size(encode(self.rows))).to(self.rows)
        self.attach(encode)
        near, places = self._space()
        own = self._terms(near, places)
        self.centre = own.median(dim=0).values
        least = torch.full_like(self.centre, _LEAST) * _size(self.points)
        least[-1] = _LEAST_RATIO
        self.unit = (own.quantile(_OUTER, dim=0) - self.centre).maximum(least)

    @torch.no_grad()
    def extend(self, rows: Tensor, encode: Callable[[Tensor], Tensor]) -> None:
        """Add reference rows; of more than are kept the earliest go. No unit changes.

        Args:
            rows: Preprocessed rows, ``(K, D)``.
            encode: Maps them to latents, ``(K, D)``.
        """
        rows = torch.cat([self.rows, rows.float().to(self.rows)])
        self.rows = rows[-references(len(rows), self.dim) :]
        self.attach(encode)
        if len(self.spacing):
            self._space()

    @torch.no_grad()
    def lean(self, y: Tensor, z: Tensor) -> None:
        """Count rows as further out that lie in the direction of known outliers.

        The direction is Fisher's, from the mean of the reference points to that of the outliers,
        with a shrunken covariance of the reference points. A row that lies t standard deviations
        beyond where 95 % of these end has ``c log(1 + t)`` added to its score, with c from 1 for a
        single outlier to 3 for twenty or more. So outliers of other kinds keep their scores.

        Args:
            y: The outliers, preprocessed, ``(K, D)``.
            z: Their latents, ``(K, D)``.

        References:
            Fisher (1936), *The use of multiple measurements in taxonomic problems*.
        """
        centre = self.points.mean(dim=0)
        around = self.points - centre
        towards = torch.cat([y, self.gain * z], dim=1).mean(dim=0) - centre
        _, sizes, axes = torch.linalg.svd(around, full_matrices=False)
        shrink = _SHRINK * around.square().mean()
        if not shrink > 0:  # all reference rows are one
            return
        along = axes @ towards
        weights = 1 / (sizes.square() / len(around) + shrink) - 1 / shrink
        direction = towards / shrink + axes.T @ (weights * along)
        own = self.points @ direction
        spread = own.std()
        if spread > 0:
            self.direction = direction / spread
            self.start = own.quantile(_OUTER) / spread
            self.strength = own.new_tensor(min(1 + 2 / 3 * log(len(y)), 3.0))

    @torch.no_grad()
    def own(self) -> Tensor:
        """The score of each reference row among the others, ``(R,)``."""
        return self._weigh(self._terms(*self._among()))

    @torch.no_grad()
    def attach(self, encode: Callable[[Tensor], Tensor]) -> None:
        """Make the points on the graph of a flow, after the rows were loaded.

        Args:
            encode: Maps preprocessed rows ``(R, D + P)`` to latents, ``(R, D)``.
        """
        features = self.rows[:, : self.dim]
        self.points = torch.cat([features, self.gain * encode(self.rows)], dim=1)
        self.fine = _FINE * _size(self.points)
        self.counts = self.nearest.tolist()  # as they were loaded

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        """The score of preprocessed rows ``(N, D)`` with their latents ``(N, D)``, ``(N,)``."""
        points = torch.cat([y, self.gain * z], dim=1)
        leaning = self.strength * torch.log1p((points @ self.direction - self.start).relu())
        return self._weigh(self._terms(*self._near(points))) + leaning

    @property
    def latents(self) -> Tensor:
        """The latents of the reference rows, ``(R, D)``."""
        return self.points[:, self.dim :] / self.gain

    def around(self) -> Tensor:
        """For each reference row itself and the four nearest others, as indices, ``(R, 5)``."""
        everyone = torch.arange(len(self.points), device=self.points.device)[:, None]
        _, places = self._among()
        return torch.cat([everyone, places[:, : min(NEAREST, len(everyone)) - 1]], dim=1)

    def _terms(self, near: Tensor, places: Tensor) -> Tensor:
        """The terms of rows, ``(N, T)``: see `_near` for the arguments."""
        spacing = self.spacing[places] if len(self.spacing) else None
        return terms(near, self.counts, spacing, self.fine)

    def _weigh(self, found: Tensor) -> Tensor:
        """The score from terms ``(N, T)``, ``(N,)``."""
        return ((found - self.centre) / self.unit * shares(self.centre)).sum(dim=1)

    def _space(self) -> tuple[Tensor, Tensor]:
        """Measure the spacing; returns `_among`."""
        near, places = self._among()
        self.spacing = near[:, : self.counts[1]].mean(dim=1).float().to(self.rows)
        return near, places

    def _among(self) -> tuple[Tensor, Tensor]:
        """`_near` of each reference point among the others."""
        return self._near(self.points, torch.arange(len(self.points), device=self.points.device))

    def _near(self, points: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distances to the nearest reference points, ascending, and their indices, ``(N, C)``.

        Args:
            points: Points, ``(N, 2D)``.
            own: Which reference points they are, ``(N,)``, if they are such.
        """
        if own is not None and len(self.points) == 1:
            nothing = torch.zeros_like(points[:, :1])
            return nothing, nothing.long()
        search = Search(self.points[None], self.counts[-1])
        near, places = search(points[None], own)
        return near[0], places[0]


def terms(
    near: Tensor, counts: Sequence[int], spacing: Tensor | None, fine: Tensor | float
) -> Tensor:
    """The terms of the score of `Neighbours`, ``(..., T)``.

    Args:
        near: Distances to the nearest reference points, ascending, ``(..., C)``.
        counts: How many of them count in each term.
        spacing: How far each of these points is from the others, ``(..., C)``; without it there is
            no term that compares.
        fine: A distance below which there is nothing to compare.
    """
    found = [near[..., :count].mean(dim=-1) for count in counts]
    if spacing is not None:
        found.append(contrast(near, found[1], spacing, fine))
    return torch.stack(found, dim=-1)


def contrast(near: Tensor, mean: Tensor, spacing: Tensor, fine: Tensor | float) -> Tensor:
    """The last of the `terms`, from the mean distance that is compared, ``(...,)``."""
    # The last counts least, so that nothing jumps where another row takes its place.
    weights = (1 + _LAST - near / near[..., -1:].clamp_min(_TINY)).square()
    around = (weights * spacing).sum(dim=-1) / weights.sum(dim=-1)
    return ((mean + fine) / (around + fine)).log()


def shares(centre: Tensor) -> Tensor:
    """The weight of each term of the score of `Neighbours`, like its centres, ``(T,)``."""
    if len(centre) == 1:  # of older files
        return torch.ones_like(centre)
    weights = torch.full_like(centre, (1 - _RELATIVE) / (len(centre) - 1))
    weights[-1] = _RELATIVE
    return weights


def references(rows: int, dim: int) -> int:
    """How many of so many rows of D features are to be reference rows."""
    return min(rows, _ROWS, max(_NUMBERS // dim, 1))


def _size(rows: Tensor) -> Tensor:
    """The root mean square distance of rows ``(N, D)`` from their mean, or 1 if all are one."""
    size = (rows - rows.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    rounding = _ROUNDINGS * torch.finfo(rows.dtype).eps * rows.abs().max()
    return torch.where(size > rounding, size, torch.ones_like(size))
