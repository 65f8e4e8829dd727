"""The score of the default: how far a row is from inliers, as a whole and column by column."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compactflow.flows.flow import CompactFlow
from compactflow.flows.neighbours import Neighbours, references
from compactflow.flows.scores import Score
from compactflow.flows.univariate import Univariate
from compactflow.pulls.base import Pull

__all__ = ["Nearness"]

_COLUMN_WISE = 1 / 4  # the share of the columns, one by one
_NARROW = 16  # columns, beyond which it is less


@final
class Nearness(Score):
    """Creates the score that is the distance to reference rows.

    A weighted mean of how far a row is from the nearest rows, see `Neighbours`, and of how far its
    values are from those of their columns, see `Univariate`. The latter has a quarter of the
    weight, and of D > 16 columns ``4 / D``, as chance adds up over columns.

    Args:
        dim: The number of features D.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> OneClassFlow(score_by="neighbours")
        OneClassFlow(score_by='neighbours')
    """

    share: Tensor  # of the columns, a scalar

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.known = Neighbours(dim, rows=1)
        self.columns = Univariate(dim, rows=1)
        self.register_buffer("share", torch.tensor(_COLUMN_WISE * min(1, _NARROW / dim)))

    def fit(self, flow: CompactFlow, pull: Pull, x: Tensor) -> None:
        """Take reference rows among data ``(N, D)``, which are in random order."""
        rows = flow.preprocess(x[: references(len(x), self.dim)])
        codes = rows.shape[1] - self.dim
        self.known = Neighbours(self.dim, len(rows), self._more(rows), codes).to(flow.latent.like)
        self.known.fit(rows, flow.run)
        values = x[: Univariate.known(len(x), self.dim), : self.dim]
        self.columns = Univariate(self.dim, len(values), self._more(values)).to(flow.latent.like)
        self.columns.fit(values)

    def extend(self, flow: CompactFlow, x: Tensor) -> None:
        """Add data ``(K, D)`` to the reference rows: see `Neighbours.extend`."""
        self.known.extend(flow.preprocess(x), flow.run)
        self.columns.extend(x[:, : self.dim])

    def own(self) -> Tensor:
        """The scores of the first of the reference rows, each among the others, ``(K,)``."""
        columns = self.columns.own()
        return self.known.own()[: len(columns)].lerp(columns, self.share)

    def lean(self, flow: CompactFlow, x: Tensor) -> bool:
        """See `Score.lean` and `Neighbours.lean`."""
        y = flow.preprocess(x)
        self.known.lean(y[:, : self.dim], flow.run(y))
        return True

    def attach(self, flow: CompactFlow) -> None:
        """See `Score.attach`."""
        self.known.attach(flow.run)
        self.columns.attach()

    def forward(self, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
        """The distance of data ``(N, D)``, ``(N,)``."""
        y = flow.preprocess(x)
        rows = self.known(y[:, : self.dim], flow.run(y))
        return rows.lerp(self.columns(x[:, : self.dim]).to(rows), self.share)

    def _more(self, rows: Tensor) -> int:
        # So many that at least half of them are inliers, were all outliers of one kind.
        return round(2 * self.outlier_share * len(rows))
