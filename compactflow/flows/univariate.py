"""A score of rows by their columns, one by one: how far each value is from the values known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import pad

from compactflow.buffers import Resizable
from compactflow.preprocessing.base import fence, spread

__all__ = ["Univariate", "side_by_side"]

_ROWS = 4096  # rows whose values are known at most
_NARROW = 32  # columns, beyond which they are fewer
_LEAST_ROWS = 16  # and that many of very wide tables
_COUNTS = (1, 5)  # which of the nearest values is a term of the score
_USUAL = 0.99  # the quantile of the known values' own distances that is their unit
_FINEST = 1e-5  # of a column's deviation: values that are nearer count as one
_FAR = 1e30  # of it, beyond which all values are alike; single precision goes up to 3e38
_OUTER = 0.95  # the quantile of the known rows' own terms that lies at 1
_LEAST = 0.1  # of the unit of a term
_FEW = 1 << 11  # values that are sought one by one


@final
class Univariate(Resizable):
    """Creates a score of rows: how far their values are from the known ones of their columns.

    A value may lie in a gap of its column, or be none that the column takes at all, where the row
    as a whole is near others. For k = 1 and 5 let ``d`` be the distance of a value to the k-th
    nearest of R known values, and ``r`` what 99 % of these keep to among themselves. The score
    is the mean over k of ``‖log(1 + d / r)‖``, the norm over the columns, each term shifted and
    scaled to be 0 at the median of the known rows, each compared with the others, and 1 where
    95 % of them lie below. It is continuous.

    Args:
        dim: The number of features D.
        rows: How many rows R are known, at least 1; see `known`.
        more: How many more values count. Where some known rows are outliers, few do not do.

    Examples:
        >>> columns = Univariate(1, rows=4)
        >>> columns.fit(torch.tensor([[0.0], [1.0], [2.0], [2.0]]))
        >>> score = columns(torch.tensor([[1.0], [1.5], [40.0]]))
        >>> bool(score[0] < score[1] < score[2])
        True

    References:
        Goldstein and Dengel (2012), *Histogram-based outlier score (HBOS)* (a sum over columns of
        how rare each value is, there by histograms).
    """

    nearest: Tensor  # whole numbers, (K,): which of the nearest values count
    rows: Tensor  # (R, D), in units, single precision
    centre: Tensor  # of each column, (D,), in data units
    unit: Tensor  # of each column, (D,), in data units
    usual: Tensor  # what the known values keep to, (K, D)
    middle: Tensor  # the median of each term, (K,)
    outer: Tensor  # from there to the quantile, (K,)
    ascending: Tensor  # the known values of each column, (D, R); made from the rows

    def __init__(self, dim: int, rows: int, more: int = 0) -> None:
        super().__init__()
        self.counts = [count + more for count in _COUNTS]
        self.register_buffer("nearest", torch.tensor(self.counts))
        self.register_buffer("rows", torch.zeros(rows, dim))
        self.register_buffer("centre", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("unit", torch.ones(dim, dtype=torch.float64))
        self.register_buffer("usual", torch.ones(len(_COUNTS), dim))
        self.register_buffer("middle", torch.zeros(len(_COUNTS)))
        self.register_buffer("outer", torch.ones(len(_COUNTS)))
        self.register_buffer("ascending", torch.zeros(dim, rows), persistent=False)

    @staticmethod
    def known(rows: int, dim: int) -> int:
        """How many of so many rows of D features are to be known.

        Fewer of a wide table, for the size of its model file, as there one column says little.
        """
        return min(rows, max(int(_ROWS * min(1, _NARROW / dim) ** 2), _LEAST_ROWS))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Know rows ``(R, D)``, in data units, and measure their distances from each other."""
        X = fence(x.double().cpu().numpy())
        centre = X.mean(axis=0)
        self.centre = torch.from_numpy(centre).to(self.centre)
        self.unit = torch.from_numpy(spread(X.std(axis=0), centre)).to(self.unit)
        self.rows = self._in_units(x)
        self.attach()
        near = self._near()
        self.usual = near.quantile(_USUAL, dim=2).clamp_min(_FINEST)
        terms = self._terms(near)
        self.middle = terms.median(dim=1).values
        self.outer = (terms.quantile(_OUTER, dim=1) - self.middle).clamp_min(_LEAST)

    @torch.no_grad()
    def extend(self, x: Tensor) -> None:
        """Add rows ``(K, D)``; of more than can be known the earliest go. No unit changes."""
        rows = torch.cat([self.rows, self._in_units(x)])
        self.rows = rows[-self.known(*rows.shape) :]
        self.attach()

    @torch.no_grad()
    def own(self) -> Tensor:
        """The score of each known row among the others, ``(R,)``."""
        terms = self._terms(self._near()) - self.middle.unsqueeze(1)
        return (terms / self.outer.unsqueeze(1)).mean(dim=0)

    def attach(self) -> None:
        """Make what follows from the rows, after they were loaded."""
        self.ascending = self.rows.T.sort(dim=1).values
        self.counts = self.nearest.tolist()

    def forward(self, x: Tensor) -> Tensor:
        """The score of data ``(N, D)``, ``(N,)``."""
        return side_by_side([self])(x)[0]

    def _in_units(self, x: Tensor) -> Tensor:
        return _in_units(x, self.centre, self.unit).T.to(self.rows)

    def _terms(self, near: Tensor) -> Tensor:
        """The terms of each known row among the others, ``(K, R)``: see `_near`."""
        return _lengths(near / self.usual.unsqueeze(2))

    def _near(self) -> Tensor:
        """How far the known values are from the nearest others, ``(K, D, R)``."""
        # A value is the nearest to itself.
        search = _Search(self.ascending, [k + 1 for k in self.counts])
        return search(self.rows.T.contiguous())


def side_by_side(members: Sequence[Univariate]) -> Callable[[Tensor], Tensor]:
    """The scores by M members, as they are now, from data ``(N, D)`` to ``(M, N)``."""
    names = ("ascending", "centre", "unit", "usual", "middle", "outer")
    ascending, centre, unit, usual, middle, outer = (
        torch.stack([getattr(member, name) for member in members]) for name in names
    )
    search = _Search(ascending, members[0].counts)

    def score(x: Tensor) -> Tensor:
        columns = _in_units(x, centre, unit).to(ascending)
        terms = _lengths(search(columns) / usual.unsqueeze(3))
        return ((terms - middle.unsqueeze(2)) / outer.unsqueeze(2)).mean(dim=1)

    return score


@final
class _Search:
    """How far values are from the k-th nearest of those known, column by column.

    The nearest k are neighbours in order. Those of a larger k begin at most as many places before
    those of a smaller one as they are more, so that only the first are sought among all.

    Args:
        ascending: The known values, ``(..., D, R)``.
        counts: Each k, ascending; of fewer known values the last counts.
    """

    def __init__(self, ascending: Tensor, counts: Sequence[int]) -> None:
        rows = ascending.shape[-1]
        self._counts = [min(count, rows) for count in counts]
        self._first = [ascending[..., : rows - k + 1] for k in self._counts]
        self._last = [ascending[..., k - 1 :] for k in self._counts]
        # From here on the values from one place further are as near as those from this one.
        ends = [(ascending[..., : rows - k] + ascending[..., k:]) / 2 for k in self._counts]
        self._ends = ends[0].contiguous()
        self._all = _Halving(ends[0], ends[0].shape[-1])
        self._further = [
            _Halving(end, more - fewer)
            for end, (fewer, more) in zip(ends[1:], pairwise(self._counts), strict=True)
        ]

    def __call__(self, values: Tensor) -> Tensor:
        """For values ``(..., D, N)`` the distances ``(..., K, D, N)``."""
        if torch.compiler.is_compiling() or values.numel() <= _FEW:
            starts = [torch.searchsorted(self._ends, values)]
        else:
            starts = [self._all(values, torch.zeros_like(values, dtype=torch.long))]
        for further in self._further:
            starts.append(further(values, (starts[-1] - further.reach).clamp(min=0)))
        near = []
        for first, last, start in zip(self._first, self._last, starts, strict=True):
            below, above = values - first.gather(-1, start), last.gather(-1, start) - values
            near.append(below.maximum(above))
        return torch.stack(near, dim=-3)


@final
class _Halving:
    """How many of ascending numbers are below a value.

    All values take a step at a time. For many that is twice as fast as `torch.searchsorted`,
    which takes all steps of a value, and waits at each to know which is next.

    Args:
        ends: The numbers, ``(..., R)``.
        reach: How many of them are looked at.
    """

    def __init__(self, ends: Tensor, reach: int) -> None:
        self.reach = reach
        self._steps = [1 << power for power in reversed(range(reach.bit_length()))]
        padded = pad(ends, (0, sum(self._steps)), value=torch.inf)
        self._ends = [padded[..., step - 1 :] for step in self._steps]

    def __call__(self, values: Tensor, start: Tensor) -> Tensor:
        """The count for values ``(..., N)``, from `start` on, which it overwrites."""
        for step, ends in zip(self._steps, self._ends, strict=True):
            start.add_(ends.gather(-1, start) < values, alpha=step)
        return start


def _in_units(x: Tensor, centre: Tensor, unit: Tensor) -> Tensor:
    """Columns of data ``(N, D)``, rounded as the known ones are, ``(..., D, N)``."""
    units = (x.T.contiguous().to(unit) - centre.unsqueeze(-1)) / unit.unsqueeze(-1)
    return units.clamp(-_FAR, _FAR).float()


def _lengths(near: Tensor) -> Tensor:
    """The terms of rows from the distances of their columns, ``(..., D, N)`` to ``(..., N)``."""
    # Turned, as norms of numbers side by side take a third of the time.
    return torch.linalg.vector_norm(near.log1p().mT.contiguous(), dim=-1)
