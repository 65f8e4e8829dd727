"""What an ensemble knows of the contexts that its rows carry: machines, hours, shops."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compactflow.buffers import Resizable

__all__ = ["Contexts", "group_of"]

Array = NDArray[np.float64]

_KEPT = 4096  # contexts to draw from
_SHRINK = 10  # rows of all groups that count in a group's centre, and twice that in its spread
# Shares of rows below, at which the scores of a group are matched to those of all.
_SHARES = np.array(
    [
        0.01,
        *(0.05 * k for k in range(1, 19)),
        0.92,
        0.94,
        0.95,
        0.96,
        0.97,
        0.98,
        0.99,
        0.995,
        0.999,
    ]
)
_TESTED = (0.5, 0.75, 0.9, 0.95)  # shares by which the groups are found to differ
_TINY = 1e-30  # in place of 0, to divide 0 by


@final
class Contexts(Resizable):
    """Creates what brings the scores of all groups of rows to one scale, and knows contexts.

    A group are the rows of which all categories of the context are the same. A flow scores those
    of one machine higher than those of another, if it knows them less well, or if they scatter in
    another way than the regression on the context expects. Here the scores of a group are shifted
    and scaled so that those of training rows have the mean and the standard deviation of all.
    Both are shrunken towards these, as if the group had some more rows, of all groups; rows of a
    group that training did not have are scored as they are.

    Then held-out rows `match` the groups: the score of the whole ensemble is mapped, group by
    group, so that its quantiles in the group become those of all rows. So a boundary, or a
    p-value, of all rows is one of each group.

    Args:
        categories: For each column of the context how many categories it has, or 0 for a number.
        members: The flows M.

    Examples:
        >>> contexts = Contexts([2], members=1)
        >>> codes = torch.tensor([[0.0], [1.0]]).repeat(100, 1)
        >>> scores = torch.randn(200) + 5 * codes[:, 0]
        >>> contexts.see(codes)
        >>> contexts.fit(0, codes, scores)
        >>> even = contexts.level(scores, codes, 0)
        >>> bool((even[::2].mean() - even[1::2].mean()).abs() < 1)
        True

    References:
        Efron, Morris (1975), *Data analysis using Stein's estimator and its generalizations*;
        Vovk, Lindsay, Nouretdinov, Gammerman (2003), *Mondrian confidence machine* (calibration
        group by group).
    """

    seen: Tensor  # (R, P), the contexts of some training rows
    groups: Tensor  # (K,), ascending
    shift: Tensor  # (M, K)
    scale: Tensor  # (M, K)
    own: Tensor  # (K, S), the quantiles of each group's held-out rows, mixed with those of all
    common: Tensor  # (S,), those of all; both are empty where groups are not matched

    def __init__(self, categories: Sequence[int], members: int) -> None:
        super().__init__()
        self.categories = tuple(categories)
        self.register_buffer("seen", torch.zeros(0, len(self.categories)))
        self.register_buffer("groups", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("shift", torch.zeros(members, 0))
        self.register_buffer("scale", torch.ones(members, 0))
        self.register_buffer("own", torch.zeros(0, 0))
        self.register_buffer("common", torch.zeros(0))

    def see(self, codes: Tensor) -> None:
        """Learn which contexts there are, from those of all rows of training, ``(N, P)``."""
        self.seen = codes[:_KEPT].clone()
        groups = torch.unique(group_of(codes, self.categories))
        self.groups = groups[groups >= 0]
        shape = (len(self.shift), len(self.groups))
        self.shift, self.scale = codes.new_zeros(shape), codes.new_ones(shape)

    @torch.no_grad()
    def fit(self, m: int, codes: Tensor, scores: Tensor) -> None:
        """Learn how a flow scores the groups.

        Args:
            m: The flow.
            codes: The contexts of rows that trained it, ``(N, P)``.
            scores: Of these rows by the flow, ``(N,)``.
        """
        mean, variance = scores.mean(), scores.var(correction=0)
        if not variance > 0:
            return
        belongs = (group_of(codes, self.categories)[:, None] == self.groups).to(scores)  # (N, K)
        count = belongs.sum(dim=0)
        centre = (scores @ belongs + _SHRINK * mean) / (count + _SHRINK)
        square = ((scores[:, None] - centre).square() * belongs).sum(dim=0)
        own = (square + 2 * _SHRINK * variance) / (count + 2 * _SHRINK)
        self.scale[m] = (own / variance).sqrt()
        self.shift[m] = centre - mean * self.scale[m]

    def level(self, scores: Tensor, codes: Tensor, m: int) -> Tensor:
        """Scores ``(N,)`` by the flow m, of rows with contexts ``(N, P)``, on the common scale."""
        if not len(self.groups):
            return scores
        place, known = self.find(codes)
        return torch.where(known, (scores - self.shift[m, place]) / self.scale[m, place], scores)

    def match(self, known: Sequence[Array], everyone: Array) -> None:
        """Learn how the scores of held-out rows are distributed in each group, and in all.

        The distribution in a group is taken to be ``n / (n + m)`` times that of its n rows and the
        rest that of all rows. Here m is large where groups differ by no more than chance: the
        share of a group's rows beyond a quantile of all is taken to be drawn from a beta
        distribution, and m is its sum of parameters, by the method of moments, at that of some
        quantiles at which the groups differ most.

        Args:
            known: Scores of the rows of each of `groups`, ``(n,)``, ascending.
            everyone: Those of all, ``(N,)``, ascending.

        References:
            Kleinman (1973), *Proportions with extraneous variance: single and independent
            samples* (the estimate of m).
        """
        self.unmatch()
        alike = _alike(known, everyone)
        if not alike < inf:
            return
        common = _quantiles(everyone, _SHARES)
        own = np.tile(common, (len(known), 1))
        for k, rows in enumerate(known):
            if len(rows):
                # Beyond its furthest row all that is known of a group is how far off that one is.
                told = np.minimum(_SHARES, len(rows) / (len(rows) + 1))
                alone = common + _quantiles(rows, told) - _quantiles(everyone, told)
                weight = len(rows) / (len(rows) + alike)
                own[k] = _mixed(alone, common, weight)
        self.common = torch.from_numpy(common).to(self.shift)
        self.own = torch.from_numpy(own).to(self.shift)

    def unmatch(self) -> None:
        """Forget what `match` has learned."""
        self.common, self.own = self.shift.new_zeros(0), self.shift.new_zeros(0, 0)

    def bring(self, scores: Tensor, codes: Tensor) -> Tensor:
        """Scores ``(N,)`` of an ensemble, of rows with contexts ``(N, P)``, to those of all."""
        if not len(self.common):
            return scores
        place, known = self.find(codes)
        own = self.own[place]
        inside = scores.maximum(own[:, 0]).minimum(own[:, -1])
        right = torch.searchsorted(own, inside.detach()[:, None]).clamp(1, own.shape[1] - 1)
        low, high = own.gather(1, right - 1)[:, 0], own.gather(1, right)[:, 0]
        start, end = self.common[right[:, 0] - 1], self.common[right[:, 0]]
        way = (inside - low) / (high - low).clamp_min(_TINY)
        return torch.where(known, start + way * (end - start) + scores - inside, scores)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Contexts as training had them, ``(n, P)``."""
        rows = torch.randint(len(self.seen), (n,), generator=generator, device=self.seen.device)
        return self.seen[rows]

    def find(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Where each row's group is in `groups`, if there are any, and whether it is there."""
        own = group_of(codes, self.categories)
        place = torch.searchsorted(self.groups, own).clamp(max=len(self.groups) - 1)
        return place, self.groups[place] == own


def _alike(known: Sequence[Array], everyone: Array) -> float:
    """How many rows of a group tell as much of it as all groups do: see `Contexts.match`."""
    counts = np.array([len(rows) for rows in known if len(rows)])
    degrees = (counts - 1).sum()
    if not degrees or len(counts) < 2:
        return inf
    excess = 0.0
    for end in _quantiles(everyone, np.array(_TESTED)):
        beyond = np.array([(rows > end).sum() for rows in known if len(rows)])
        share = beyond.sum() / counts.sum()
        if 0 < share < 1:
            off = (beyond - share * counts) ** 2 / counts
            excess = max(excess, off.sum() / (share * (1 - share)) - len(counts) + 1)
    return max(float(degrees / excess) - 1, 0.0) if excess > 0 else inf


def _quantiles(ascending: Array, shares: Array) -> Array:
    """Below where a new row is with these probabilities, if it is like the known ones."""
    place = shares * (len(ascending) + 1) - 1
    return np.interp(place, np.arange(len(ascending)), ascending)


def _mixed(one: Array, other: Array, weight: float) -> Array:
    """Quantiles, at `_SHARES`, of a mixture of two distributions with such quantiles."""
    values = np.unique(np.concatenate([one, other]))
    below = weight * np.interp(values, one, _SHARES)
    below += (1 - weight) * np.interp(values, other, _SHARES)
    return np.interp(_SHARES, below, values)


def group_of(codes: Tensor, categories: Sequence[int]) -> Tensor:
    """The number of the group of each row's context ``(N, P)``, ``(N,)``; -1 if it has none.

    A group are the rows of which all categories are the same; one that is unknown makes none.
    """
    number = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
    none = torch.full_like(number, not any(categories), dtype=torch.bool)
    for column, count in zip(codes.long().unbind(dim=1), categories, strict=True):
        if count:
            number = number * count + column
            none |= column < 0
    return torch.where(none, -1, number)
