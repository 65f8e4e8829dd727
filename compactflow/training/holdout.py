"""Which rows train each network of an ensemble, and which it never sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

__all__ = ["HoldOut", "in_turn"]

_ENOUGH_ROWS = 40  # to place a boundary at 0.95 with some certainty
_MIN_ROWS = 5  # fewer held-out rows than this say too little: then all rows train and judge


@final
@dataclass(frozen=True)
class HoldOut:
    """N rows in random order, of which each of M networks leaves out some of its own.

    Networks go in pairs: two in a row may see the data in different views, and only the mean of
    their scores is like the score of a new row. Pair p of P leaves out the rows from ``p N // P``
    on, and after the last from the first again. So with four networks or more every row trains
    some of them, although many rows are held out of each pair, as in cross-conformal prediction
    (Vovk 2015). A single pair or network leaves out the first rows.

    Indices are ``(K, M)``: column m is of network m, so that all of them, flattened, are in the
    order of a `compactflow.training.stack.Stack`.

    Attributes:
        rows: N.
        members: M.
        left_out: How many rows each network leaves out; with 0 it is judged by all of them.
        apart: Whether pairs leave out rows of their own; else all leave out the same.
        weights: How much each row counts in training, ``(N,)``, positive; ``None`` for alike. Of
            the rows that a network may train on it takes as many as there are, each as often as it
            weighs, or with that probability. (At even steps of the summed weights, which vary less
            than draws.)

    Examples:
        >>> hold_out = HoldOut.of(20, members=4, fraction=0.25)
        >>> hold_out.judging_rows().T.tolist()
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [10, 11, 12, 13, 14], [10, 11, 12, 13, 14]]
        >>> tuple(hold_out.training_rows().shape)
        (15, 4)
    """

    rows: int
    members: int = 1
    left_out: int = 0
    apart: bool = True
    weights: Tensor | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        rows: int,
        members: int,
        fraction: float | Literal["auto"],
        *,
        apart: bool = True,
        weights: Tensor | None = None,
    ) -> HoldOut:
        """Each network leaves out a fraction in [0, 1) of the rows, if that makes 5 in all.

        Args:
            rows: N.
            members: M.
            fraction: The fraction; ``"auto"`` is a tenth, or more where that would make fewer
                than 40 rows in all, but at most a quarter.
            apart: Whether pairs leave out rows of their own.
            weights: How much each row counts in training, ``(N,)``.
        """
        pairs = cls(rows, members, apart=apart).pairs
        if fraction == "auto":
            left_out = max(rows // 10, min(rows // 4, -(-_ENOUGH_ROWS // pairs)))
        else:
            left_out = int(fraction * rows)
        left_out = left_out if min(rows, pairs * left_out) >= _MIN_ROWS else 0
        return cls(rows, members, left_out, apart, weights)

    @property
    def pairs(self) -> int:
        """How many sets of rows are left out."""
        return (self.members + 1) // 2 if self.apart else 1

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Indices of n random rows for each network to train on, ``(n, M)``."""
        ranks = torch.randint(
            self.rows - self.left_out,
            (n * self.members,),
            generator=generator,
            device=generator.device,
        ).view(n, self.members)
        if self.weights is None:
            return self._after(ranks, self.left_out)
        return self._weighed.to(ranks.device).gather(0, ranks)

    def training_rows(self) -> Tensor:
        """Indices of all rows that each network trains on, ``(N - left_out, M)``."""
        return self._free if self.weights is None else self._weighed

    def trained(self) -> Tensor:
        """Indices of the rows that some network trains on, ascending."""
        mask = torch.zeros(self.rows, dtype=torch.bool)
        mask[self.training_rows()] = True
        return mask.nonzero().flatten()

    def judging_rows(self) -> Tensor:
        """Indices of the rows that each network is judged by, ``(left_out, M)``, or of all."""
        return self._after(torch.arange(self.left_out or self.rows)[:, None], 0)

    @property
    def _free(self) -> Tensor:
        """Indices of the rows that each network may train on, ``(N - left_out, M)``."""
        return self._after(torch.arange(self.rows - self.left_out)[:, None], self.left_out)

    @cached_property
    def _weighed(self) -> Tensor:
        """Indices of the rows that each network trains on, by their weights."""
        assert self.weights is not None
        free = self._free
        sums = self.weights[free].cumsum(dim=0)
        # Networks begin at places of their own, so that a light row is seen by some of them.
        first = (torch.arange(self.members) + 0.5) / self.members
        steps = (torch.arange(len(free))[:, None] + first) / len(free) * sums[-1]
        found = torch.searchsorted(sums.T.contiguous(), steps.T.contiguous(), right=True).T
        return free.gather(0, found.clamp(max=len(free) - 1))

    def _after(self, ranks: Tensor, skipped: int) -> Tensor:
        """Indices of the rows of those ranks after each network's first and those skipped."""
        pair = torch.arange(self.members, device=ranks.device) // 2 % self.pairs
        first = pair * self.rows // self.pairs
        return (first + skipped + ranks) % self.rows


def in_turn(rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows of M networks in the order of a stack, ``(K M, D)``.

    Args:
        rows: All rows as each network sees them, ``(N, M, D)``.
        chosen: Indices of those of each network, ``(K, M)``.
    """
    members = torch.arange(rows.shape[1], device=rows.device)
    return rows[chosen.to(rows.device), members].flatten(0, 1)
