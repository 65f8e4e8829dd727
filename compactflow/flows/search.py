"""The nearest of reference points: candidates by one product, then measured."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

__all__ = ["Search", "smallest"]

_SPARE = 5  # more candidates than are sought, as they are found by rounded distances
_AT_ONCE = 1 << 20  # distances at a time, so that they stay in the cache of a core
_FOLD = 8  # columns in a group whose least value is found at once
_FEW = 512  # columns that are sorted, a power of 2
_LITTLE = 1 << 15  # values that are gone through in less time than grouping them takes


@final
class Search:
    """Creates a search for the nearest of R points, or of M times R side by side.

    One product in single precision gives the squared distances to all points, and the nearest few
    by these are measured exactly. So a row's distances do not depend on the rows beside it.

    Args:
        points: The points, ``(M, R, K)``.
        count: How many of the nearest are sought.

    Examples:
        >>> search = Search(torch.tensor([[[0.0], [1.0], [3.0]]]), 2)
        >>> near, places = search(torch.tensor([[[2.5]]]))
        >>> near.tolist(), places.tolist()
        ([[[0.5, 1.5]]], [[[2, 1]]])
    """

    def __init__(self, points: Tensor, count: int) -> None:
        members, rows, _ = points.shape
        self._origin = points.mean(dim=1, keepdim=True)
        self._points = (points - self._origin).flatten(0, 1)
        known = self._points.float().view(points.shape)
        square, one = known.square().sum(dim=2, keepdim=True), known.new_ones(())
        # Side by side in memory for each number, in which order the product reads them.
        known = torch.cat([-2 * known, one.expand_as(square), square], dim=2)
        self._known = known.mT.contiguous()
        self._count, self._candidates = min(count, rows), min(count + _SPARE, rows)
        self._first = rows * torch.arange(members, device=points.device).view(-1, 1, 1)
        numbers = max(rows, self._candidates * points.shape[2])  # of one row and flow
        self._at_once = max(1, _AT_ONCE // (members * numbers))

    def __call__(self, asked: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distances to the nearest points, ascending, and their indices, both ``(M, N, C)``.

        C is as many as are sought, or as there are.

        Args:
            asked: Rows, ``(M, N, K)``.
            own: Which of the points they are, ``(N,)``, if they are such: none is its own
                neighbour.
        """
        around = asked - self._origin
        at_once, rows = self._at_once, asked.shape[1]
        if torch.compiler.is_compiling() or rows <= at_once:  # a graph takes any number of rows
            return self._find(around, own)
        # Its memory serves again, as new memory takes longer to fill than the product does.
        product = self._known.new_empty(len(asked), at_once, self._known.shape[2])
        points = around.new_empty(len(asked) * at_once * self._candidates, asked.shape[2])
        parts = torch.split(around, at_once, dim=1)
        owns = [None] * len(parts) if own is None else torch.split(own, at_once)
        found = [self._find(*each, (product, points)) for each in zip(parts, owns, strict=True)]
        near, places = zip(*found, strict=True)
        return torch.cat(near, dim=1), torch.cat(places, dim=1)

    def _find(
        self, around: Tensor, own: Tensor | None, scratch: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        rough = around.detach().float()
        square, one = rough.square().sum(dim=2, keepdim=True), rough.new_ones(())
        rough = torch.cat([rough, square, one.expand_as(square)], dim=2)
        product = scratch and scratch[0][:, : rough.shape[1]]
        candidates = smallest(torch.bmm(rough, self._known, out=product), self._candidates)
        exact = self._measure(around, candidates, scratch and scratch[1])
        count = self._count
        if own is not None:
            exact.masked_fill_(candidates == own[:, None], torch.inf)
            count = min(count, self._known.shape[2] - 1)
        near, order = exact.topk(count, dim=2, largest=False)
        return near, candidates.gather(2, order)

    def _measure(self, around: Tensor, places: Tensor, scratch: Tensor | None) -> Tensor:
        """Distances of rows to points of their own, ``(M, N, C)``.

        Args:
            around: The rows, from the origin, ``(M, N, K)``.
            places: Indices of the points, ``(M, N, C)``.
            scratch: Memory for the points, where the rows are many.
        """
        indices, rows = (places + self._first).flatten(), around.unsqueeze(2)
        if scratch is None:
            points = self._points.index_select(0, indices)
            points = points.view(*places.shape, points.shape[1])  # of no rows, too
            return torch.linalg.vector_norm(points - rows, dim=3)
        points = scratch[: len(indices)]
        torch.index_select(self._points, 0, indices, out=points)
        points = points.view(*places.shape, points.shape[1])
        plain = "donot_use_mm_for_euclid_dist"
        return torch.cdist(rows, points, compute_mode=plain).squeeze(2)


def smallest(values: Tensor, count: int) -> Tensor:
    """Where in its row each of the `count` smallest of ``(..., C)`` stands, ``(..., count)``.

    The values are float32 and at least 0, up to rounding. On a CPU some that differ by less than
    one part in ten thousand may stand for each other.
    """
    columns = values.shape[-1]
    # Of fewer columns the groups would leave as many to look at, and so on for ever.
    few, grouped = columns <= _FEW, columns >= _FOLD * (count + 1)
    plain = torch.compiler.is_compiling() or values.device.type != "cpu"
    if plain or columns <= count or not (few or grouped) or values.numel() <= _LITTLE:
        return values.topk(count, dim=-1, largest=False, sorted=False).indices
    if few:
        # Positive floats are ordered as the integers of their bits are. With its place in the
        # last ones, a value is found again after NumPy has sorted it, which is vectorised.
        bits = values.clamp(min=0).view(torch.int32).bitwise_and_(-_FEW)
        bits |= torch.arange(columns, dtype=torch.int32)
        bits.numpy().partition(count - 1, axis=-1)
        return bits[..., :count].long().bitwise_and_(_FEW - 1)
    # They lie in that many of the groups whose least values are the smallest, or are left over.
    groups = columns // _FOLD
    whole = values[..., : groups * _FOLD]
    least = whole.view(*values.shape[:-1], _FOLD, groups).amin(dim=-2)
    firsts = smallest(least, min(count, groups)).unsqueeze(-1)
    places = (firsts + groups * torch.arange(_FOLD)).flatten(-2)
    if columns > groups * _FOLD:
        rest = torch.arange(groups * _FOLD, columns).expand(*places.shape[:-1], -1)
        places = torch.cat([places, rest], dim=-1)
    return places.gather(-1, smallest(values.gather(-1, places), count))
