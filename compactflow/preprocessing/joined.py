"""The first layers of an ensemble as one, to map rows in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from compactflow.preprocessing.base import finite
from compactflow.preprocessing.decorrelation import Decorrelation

__all__ = ["JoinedColumns", "join_decorrelations"]


@final
class JoinedColumns:
    """The maps of columns by M layers, with one search for the knots of all.

    Args:
        knots: For each layer ``(D, K)``, ascending, infinite where there are fewer; the map is
            linear between two.
        heights: What each maps them to, ``(D, K)``.
        units: Of the tails, in data units, ``(D,)`` each: see `Marginal`.
    """

    def __init__(
        self, knots: Sequence[Tensor], heights: Sequence[Tensor], units: Sequence[Tensor]
    ) -> None:
        self._ends = torch.cat(list(knots), dim=1).sort(dim=1).values
        own, values = torch.stack(list(knots)), torch.stack(list(heights))
        last = own.isfinite().sum(dim=2, keepdim=True) - 1
        self._low, self._high = own[:, :, :1], own.gather(2, last)
        self._units = torch.stack(list(units)).unsqueeze(2)
        # Each layer's line that begins at a knot of any; beyond its own last it is level.
        ends = self._ends.expand(len(own), -1, -1).contiguous()
        inside = ends.clamp(self._low, self._high)
        right = torch.searchsorted(own, inside, right=True).clamp(min=1).minimum(last)
        left, start = right - 1, own.gather(2, right - 1)
        rise = values.gather(2, right) - values.gather(2, left)
        slope = rise / (own.gather(2, right) - start)
        self._at = values.gather(2, left) + (inside - start) * slope
        self._slope = torch.where((ends >= self._low) & (ends < self._high), slope, 0.0)

    def __call__(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)``, ``(M, D, N)``."""
        x = x.T.contiguous()
        found = torch.searchsorted(self._ends, x, right=True).sub_(1).clamp_(min=0)
        beyond = finite((x - x.clamp(self._low, self._high)) / self._units)
        offset = (x - self._ends.gather(1, found)).clamp_(min=0)
        found = found.expand(len(self._at), -1, -1)
        heights = torch.addcmul(self._at.gather(2, found), offset, self._slope.gather(2, found))
        # √(1 + 2u) - 1, without the cancellation for small u
        return heights.add_(2 * beyond / (1 + (1 + 2 * beyond.abs()).sqrt()))


def join_decorrelations(layers: Sequence[Decorrelation]) -> Callable[[Tensor], Tensor]:
    """Several whitenings as one, from columns ``(M, D, N)`` to rows ``(M, N, D)``."""
    if len(layers[0].stretch) < len(layers[0].mean):  # a matrix would be larger than its parts
        return lambda columns: torch.stack(
            [layer(rows) for layer, rows in zip(layers, columns.mT, strict=True)]
        )
    matrix = torch.stack([layer.matrix() for layer in layers])
    shift = -torch.stack([layer.mean for layer in layers]).unsqueeze(1) @ matrix
    return lambda columns: torch.baddbmm(shift, columns.mT, matrix)
