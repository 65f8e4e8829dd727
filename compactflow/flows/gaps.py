"""Rows with gaps, filled from rows that are near in what is known."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["fill"]

_CHUNK = 2048  # rows at a time
_FAR = 1e300  # from a row that has nothing in common


@torch.no_grad()
def fill(x: Tensor, donors: Tensor, *, rank: int = 0) -> Tensor:
    """Fill each gap, a NaN, with the value of a donor: a draw, given what the row has.

    The donor is the nearest of those that have the value, by the mean square difference, in
    standard deviations, of the features that both have. No row is its own donor, as it does not
    have the value.

    Args:
        x: Rows, ``(N, D)``.
        donors: Rows to take values of, ``(R, D)``, of which each feature has one somewhere.
        rank: How many nearer donors to pass over: another draw.

    Returns:
        The rows without gaps.

    References:
        Troyanskaya et al. (2001), *Missing value estimation methods for DNA microarrays* (nearest
        neighbours); Andridge, Little (2010), *A review of hot deck imputation* (donors).
    """
    gaps = x.isnan()
    rows = gaps.any(dim=1).nonzero().flatten()
    if not len(rows):
        return x
    has = ~donors.isnan()
    known = torch.where(has, donors, 0)
    count = has.sum(dim=0).clamp(min=1)
    centre = known.sum(dim=0) / count
    scale = ((torch.where(has, donors - centre, 0) ** 2).sum(dim=0) / count).sqrt()
    scale = torch.where(scale > 0, scale, 1)
    near = torch.where(has, (donors - centre) / scale, 0)
    filled = x.clone()
    for some in torch.split(rows, _CHUNK):
        filled[some] = _fill(x[some], donors, (near, has), centre, scale, rank)
    return filled


def _fill(
    x: Tensor,
    donors: Tensor,
    known: tuple[Tensor, Tensor],
    centre: Tensor,
    scale: Tensor,
    rank: int,
) -> Tensor:
    near, has = known
    gaps = x.isnan()
    own, seen, given = torch.where(gaps, 0, (x - centre) / scale), (~gaps).to(x), has.to(x)
    square = own.square() @ given.T + seen @ near.square().T - 2 * own @ near.T
    # Rounded, so that rows beside it do not decide between two donors that are as near.
    both = seen @ given.T
    distance = torch.where(both > 0, (square / both * 1e9).round(), _FAR)
    x = x.clone()
    complete = bool(has.all())
    donor = _nearest(distance, rank) if complete else None
    for j in gaps.any(dim=0).nonzero().flatten().tolist():
        if not complete:
            donor = _nearest(distance.masked_fill(~has[:, j], torch.inf), rank)
        lacking = gaps[:, j]
        values = donors[donor, j][lacking]
        x[lacking, j] = torch.where(values.isnan(), centre[j], values)
    return x


def _nearest(distance: Tensor, rank: int) -> Tensor:
    """The index of the nearest donor of each row but `rank` nearer ones, ``(N,)``."""
    found = distance.argmin(dim=1)
    for _ in range(min(rank, distance.shape[1] - 1)):
        distance = distance.scatter(1, found[:, None], torch.inf)
        found = distance.argmin(dim=1)
    return found
