"""How far a row is from the inliers, by one flow: the interface of a score, and simple ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, cast, final

import torch
from torch import Tensor, nn

from compactflow.buffers import Resizable
from compactflow.flows.flow import CompactFlow
from compactflow.plugins import Kind
from compactflow.pulls.base import Pull

__all__ = ["Blend", "Density", "Quantile", "Score", "Support"]

_OUTER = 0.95  # the quantile of the rows' own scores that lies at 1


class Score(Resizable, ABC):
    """A score of rows by one flow: low for inliers, in any unit.

    The detector's score combines those of its flows and subtracts a level, which held-out rows
    place. So its zero is the boundary that keeps its share of inliers, whatever the score. What a
    score learns are buffers, whose shape may depend on the data.

    Args:
        dim: The number of features D.

    Attributes:
        natural: Whether the score is at most 0 just in the latent's support, as
            ``boundary="natural"`` takes it.
        outlier_share: Share of the data that are taken to be outliers, in [0, 0.5). It is set
            before `fit`, of the scores inside a score too.

    Examples:
        >>> class Far(Score):
        ...     def forward(self, flow, pull, x):
        ...         return flow.encode(x).norm(dim=1)
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = OneClassFlow(score_by=Far, boundary=0.9, max_steps=5, random_state=0).fit(X)
        >>> bool(0.8 < (detector.signed_distance(X) <= 0).mean() < 0.97)
        True
    """

    natural: ClassVar[bool] = False
    outlier_share: float = 0.0

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def fit(self, flow: CompactFlow, pull: Pull, x: Tensor) -> None:
        """Learn from data ``(N, D)`` that trained the flow, in random order. Optional."""

    def lean(self, flow: CompactFlow, x: Tensor) -> bool:
        """Count rows as further out that are like known outliers ``(K, D)``. Optional.

        Returns:
            Whether the score does so.
        """
        return False

    def attach(self, flow: CompactFlow) -> None:
        """Make anew what follows from the flow and the buffers, once they are loaded. Optional."""

    @abstractmethod
    def forward(self, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
        """The score of data ``(N, D)``, ``(N,)``: low for inliers.

        Args:
            flow: The trained flow.
            pull: The pull that it was trained with; its latent is the flow's.
            x: Data, in data units.
        """

    def combine(self, scores: Tensor) -> Tensor:
        """The score of an ensemble from those of its flows ``(M, N)``, ``(N,)``: their mean.

        Where a score overrides this, all flows leave out the same rows, as the boundary must be
        placed by scores of as many flows as new rows have.
        """
        return scores.mean(dim=0)


@final
class Support(Score):
    """Creates the score that is the signed distance of a row's latent to the latent's support.

    Args:
        dim: The number of features D.

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*, eq. 2-4.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> OneClassFlow(score_by="support")
        OneClassFlow(score_by='support')
    """

    natural: ClassVar[bool] = True

    def forward(self, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
        """The signed distance of data ``(N, D)``, ``(N,)``."""
        return flow.signed_distance(x)


@final
class Density(Score):
    """Creates the score that is minus the log-density of a row, in nats.

    See `CompactFlow.log_density`. It is slow for a backbone without a log-det of its own.

    Args:
        dim: The number of features D.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> OneClassFlow(score_by="density")
        OneClassFlow(score_by='density')
    """

    def forward(self, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
        """Minus the log-density of data ``(N, D)``, up to a constant, ``(N,)``."""
        return -flow.log_density(pull, x)


@final
class Blend(Score):
    """Creates a weighted mean of scores, each with its median at 0 and its 95 % quantile at 1.

    Args:
        dim: The number of features D.
        of: What makes each score from the dimension; in a detector its name, its class, or a
            mapping with its ``name`` and ``options``.
        weights: Of each, positive; equal by default.

    Raises:
        ValueError: If there are no scores, or not as many positive weights.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> detector = OneClassFlow(
        ...     score_by="blend", score_options={"of": ["neighbours", "support"]}
        ... )
    """

    components: ClassVar[dict[str, Kind]] = {"of": "score"}
    centres: Tensor  # (K,)
    units: Tensor  # (K,)

    def __init__(
        self,
        dim: int,
        *,
        of: Sequence[Callable[[int], Score]],
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(dim)
        shares = [1.0] * len(of) if weights is None else list(weights)
        if not of or len(shares) != len(of) or not all(share > 0 for share in shares):
            raise ValueError(
                f"of must name at least one score, and weights be as many positive numbers, got "
                f"{len(of)} scores and the weights {shares}"
            )
        self.of = nn.ModuleList(make(dim) for make in of)
        self.weights = [share / sum(shares) for share in shares]
        self.register_buffer("centres", torch.zeros(len(of)))
        self.register_buffer("units", torch.ones(len(of)))

    @torch.no_grad()
    def fit(self, flow: CompactFlow, pull: Pull, x: Tensor) -> None:
        """Fit each score, and measure its scale on the same data."""
        for i, score in enumerate(self._scores()):
            score.fit(flow, pull, x)
            own = score(flow, pull, x[:4096])
            self.centres[i] = own.median()
            self.units[i] = (own.quantile(_OUTER) - own.median()).clamp_min(1e-9)

    def attach(self, flow: CompactFlow) -> None:
        """See `Score.attach`."""
        for score in self._scores():
            score.attach(flow)

    def forward(self, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
        """The weighted mean for data ``(N, D)``, ``(N,)``."""
        each = torch.stack([score(flow, pull, x) for score in self._scores()], dim=1)
        scaled = (each - self.centres) / self.units
        return scaled @ scaled.new_tensor(self.weights)

    def _scores(self) -> list[Score]:
        return cast("list[Score]", list(self.of))


@final
class Quantile(Score):
    """Creates another score, of which the quantile over the flows counts instead of the mean.

    With a high quantile a row is an outlier if it is one for few of the flows.

    Args:
        dim: The number of features D.
        of: What makes the other score from the dimension; in a detector its name, its class, or a
            mapping with its ``name`` and ``options``.
        q: The quantile, in [0, 1].

    Raises:
        ValueError: If `q` is out of range.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> detector = OneClassFlow(score_by="quantile", score_options={"of": "support", "q": 1.0})
    """

    components: ClassVar[dict[str, Kind]] = {"of": "score"}

    def __init__(self, dim: int, *, of: Callable[[int], Score], q: float = 0.5) -> None:
        super().__init__(dim)
        if not 0 <= q <= 1:
            raise ValueError(f"q must be in [0, 1], got {q}")
        self.of = of(dim)
        self.q = q

    def fit(self, flow: CompactFlow, pull: Pull, x: Tensor) -> None:
        """Fit the other score: see `Score.fit`."""
        self.of.fit(flow, pull, x)

    def attach(self, flow: CompactFlow) -> None:
        """See `Score.attach`."""
        self.of.attach(flow)

    def forward(self, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
        """The other score of data ``(N, D)``, ``(N,)``."""
        score: Tensor = self.of(flow, pull, x)
        return score

    def combine(self, scores: Tensor) -> Tensor:
        """The quantile of the flows' scores ``(M, N)``, ``(N,)``."""
        return scores.quantile(self.q, dim=0)
