"""What an ensemble knows of the contexts that its rows carry: machines, hours, shops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from compactflow.buffers import Resizable

__all__ = ["Contexts", "group_of"]

_KEPT = 4096  # contexts to draw from
_SHRINK = 10  # rows of all groups that count in a group's centre, and twice that in its spread


@final
class Contexts(Resizable):
    """Creates what brings the scores of all groups of rows to one scale, and knows contexts.

    A group are the rows of which all categories of the context are the same. A flow scores those
    of one machine higher than those of another, if it knows them less well, or if they scatter in
    another way than the regression on the context expects. Here the scores of a group are shifted
    and scaled so that those of training rows have the mean and the standard deviation of all.
    Both are shrunken towards these, as if the group had some more rows, of all groups; rows of a
    group that training did not have are scored as they are.

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
        Efron, Morris (1975), *Data analysis using Stein's estimator and its generalizations*.
    """

    seen: Tensor  # (R, P), the contexts of some training rows
    groups: Tensor  # (K,), ascending
    shift: Tensor  # (M, K)
    scale: Tensor  # (M, K)

    def __init__(self, categories: Sequence[int], members: int) -> None:
        super().__init__()
        self.categories = tuple(categories)
        self.register_buffer("seen", torch.zeros(0, len(self.categories)))
        self.register_buffer("groups", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("shift", torch.zeros(members, 0))
        self.register_buffer("scale", torch.ones(members, 0))

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

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Contexts as training had them, ``(n, P)``."""
        rows = torch.randint(len(self.seen), (n,), generator=generator, device=self.seen.device)
        return self.seen[rows]

    def find(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Where each row's group is in `groups`, if there are any, and whether it is there."""
        own = group_of(codes, self.categories)
        place = torch.searchsorted(self.groups, own).clamp(max=len(self.groups) - 1)
        return place, self.groups[place] == own


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
