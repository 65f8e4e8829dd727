"""The flows of an ensemble, and how each scores rows."""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.devices import finest_dtype, fresh_defaults
from compactflow.flows.contexts import Contexts
from compactflow.flows.contracts import is_own, require_shape
from compactflow.flows.flow import CompactFlow
from compactflow.flows.frozen import Frozen
from compactflow.flows.gaps import fill
from compactflow.flows.nearness import Nearness
from compactflow.flows.neighbours import Neighbours
from compactflow.flows.scores import Score
from compactflow.flows.univariate import Univariate
from compactflow.latents.base import Latent
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Members"]

_LEVELLED = 4096  # rows whose scores bring groups to one scale
_DONORS = 1024  # rows to sample, where there are no reference rows to fill gaps from


class Members(nn.Module, ABC):
    """M flows into one latent, each with a score of rows: the part of `Ensemble` in torch.

    Its docstring has the arguments.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.flows.ensemble import Ensemble
        >>> from compactflow.latents.ball import Ball
        >>> from compactflow.preprocessing.linear import Identity
        >>> from compactflow.pulls.norms import Euclidean
        >>> members = Ensemble([Coupling(2, blocks=2)], [Identity(2)], Euclidean(Ball(2)))
        >>> members.natural
        True
    """

    scale: float = 1.0

    def __init__(
        self,
        networks: Sequence[Backbone],
        layers: Sequence[Preprocessing],
        pull: Pull,
        scores: Sequence[Score] = (),
        *,
        entropic: bool = True,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.layers = nn.ModuleList(layers)
        self.pull = pull
        self.entropic = entropic
        self.scores = nn.ModuleList(scores)
        categories = networks[0].categories
        self.contexts = Contexts(categories, len(networks)) if categories else None
        self._frozen: list[Frozen] = []  # one at most, shared with what `at` gives
        _ = self.flows  # which checks the dimensions

    @property
    def latent(self) -> Latent:
        """The latent of all flows."""
        return self.pull.latent

    @property
    def flows(self) -> list[CompactFlow]:
        """The flows, around these parts: what changes there changes here."""
        return [
            CompactFlow(
                cast("Backbone", network),
                self.latent,
                cast("Preprocessing", layer),
                scale=self.scale,
            )
            for network, layer in zip(self.networks, self.layers, strict=True)
        ]

    @property
    def natural(self) -> bool:
        """Whether rows are scored by the latent's support."""
        return not self.scores

    @property
    def matched(self) -> bool:
        """Whether the scores of each group of a context are brought to those of all."""
        return self.contexts is not None and len(self.contexts.common) > 0

    @property
    def neighbours(self) -> list[Neighbours]:
        """For each flow its reference rows; empty if the flows do not score by them."""
        return [score.known for score in self._nearness]

    @property
    def _nearness(self) -> list[Nearness]:
        return [score for score in self.scores if isinstance(score, Nearness)]

    @property
    def dim(self) -> int:
        """The number of features D."""
        return self.latent.dim

    @property
    def categories(self) -> tuple[int, ...]:
        """For each code of a context that rows carry how many categories it has, or 0."""
        return self.contexts.categories if self.contexts else ()

    @property
    def width(self) -> int:
        """The numbers in a row: its D features, and the P codes of its context behind them."""
        return self.dim + len(self.categories)

    @property
    def rounding(self) -> float:
        """Scores that differ by less are equal; above 1, as a share of them."""
        if self.latent.like.dtype != torch.float64:
            return 1e-4
        # Reference rows are kept in single precision, so that equal distances differ by that much.
        return 1e-5 if len(self.scores) else 1e-9

    def place(self, device: torch.device) -> None:
        """Move to a device, in the finest precision that it has.

        The same row then scores the same in any batch, and decoding inverts encoding, up to
        rounding error.
        """
        self.to(finest_dtype(device)).to(device)

    def cast(self, dtype: torch.dtype) -> None:
        """Compute in `dtype` from the networks on.

        What takes data as they are keeps its precision, since these may have large offsets.
        """
        self._frozen.clear()
        self.networks.to(dtype)
        self.pull.to(dtype)
        for part in self.scores.modules():
            if not isinstance(part, Univariate):
                for name, value in part.named_buffers(recurse=False):
                    if value.is_floating_point():
                        setattr(part, name, value.to(dtype))
        if self.contexts is not None:
            self.contexts.to(dtype)

    def in_precision(self, dtype: torch.dtype) -> Self:
        """A copy that is `cast`."""
        with fresh_defaults():
            copied = copy.deepcopy(self)
            copied.cast(dtype)
        return copied

    def attach(self) -> None:
        """Make anew what follows from the weights, after they were loaded."""
        self._frozen.clear()
        for m in range(len(self.scores)):
            self._own(m).attach(self.flows[m])

    @torch.no_grad()
    def fit_score(self, m: int, x: Tensor, *, outlier_share: float = 0.0) -> None:
        """Let the score of flow m learn from data ``(N, D)`` that trained it, in random order.

        Args:
            m: Which flow.
            x: The data.
            outlier_share: See `Score`.
        """
        self._frozen.clear()
        score = self._own(m)
        for part in score.modules():
            if isinstance(part, Score):
                part.outlier_share = outlier_share
        score.fit(self.flows[m], self.pull, x)
        if not is_own(score):
            few = x[:3]
            require_shape(score, "forward", score(self.flows[m], self.pull, few), (len(few),))
        if self.contexts is None:
            return
        if isinstance(score, Nearness):
            scores = score.own()
            codes = score.known.rows[: len(scores), self.dim :]
        else:
            codes = x[:_LEVELLED, self.dim :].to(self.latent.like)
            scores = score(self.flows[m], self.pull, x[:_LEVELLED])
        self.contexts.fit(m, codes, scores)

    @torch.no_grad()
    def reference_scores(self, m: int) -> NDArray[np.float64]:
        """The scores of the first reference rows of flow m, each among the others, ``(K,)``."""
        score = self._nearness[m]
        scores = score.own()
        if self.contexts is not None:
            codes = score.known.rows[: len(scores), self.dim :]
            scores = self.contexts.level(scores, codes, m)
        return scores.double().cpu().numpy()

    @torch.no_grad()
    def extend(self, m: int, x: Tensor) -> None:
        """Add data ``(N, D)`` to the reference rows of flow m: see `Neighbours.extend`."""
        self._frozen.clear()
        self._nearness[m].extend(self.flows[m], self._without_gaps(x, m))

    @torch.no_grad()
    def lean(self, x: Tensor) -> bool:
        """Let the scores lean towards known outliers ``(K, D)``, if they can: see `Score.lean`.

        Returns:
            Whether they do.
        """
        self._frozen.clear()
        able = [
            self._own(m).lean(flow, self._without_gaps(x, m))
            for m, flow in enumerate(self.flows[: len(self.scores)])
        ]
        return any(able)

    def combine(self, scores: Tensor) -> Tensor:
        """The score from those of the flows ``(M, N)``, ``(N,)``: their mean, unless it is own."""
        return self._own(0).combine(scores) if self.scores else scores.mean(dim=0)

    def frozen(self) -> Frozen:
        """The mean score of all flows in few operations, prepared anew if a weight has changed."""
        if not self._frozen or not self._frozen[0].fits():
            layers = cast("list[Preprocessing]", list(self.layers))
            networks = cast("list[Backbone]", list(self.networks))
            self._frozen[:] = [
                Frozen(layers, networks, self._nearness, self.latent, self.contexts)
            ]
        return self._frozen[0]

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the weights is neither copied nor pickled.
        return vars(self) | {"_frozen": []}

    def _own(self, m: int) -> Score:
        return cast("Score", self.scores[m])

    def _score(self, x: Tensor, m: int) -> Tensor:
        """The score of data ``(N, D)`` by the flow m alone, ``(N,)``, gaps filled."""
        flow, x = self.flows[m], self._without_gaps(x, m)
        if self.scores:
            score = cast("Tensor", self.scores[m](flow, self.pull, x))
        else:
            score = flow.signed_distance(x)
        return score if self.contexts is None else self.contexts.level(score, x[:, self.dim :], m)

    def _without_gaps(self, x: Tensor, m: int) -> Tensor:
        """The rows ``(N, D)`` as the flow m sees them."""
        if torch.compiler.is_compiling() or not x.isnan().any():  # a graph takes no gaps
            return x
        features, codes = x.tensor_split([self.dim], dim=1)
        if self.neighbours:
            layer = cast("Preprocessing", self.layers[m])
            donors = layer.inverse(self.neighbours[m].rows[:, : self.dim])
        else:
            generator = torch.Generator(x.device).manual_seed(m)
            given = None if self.contexts is None else self.contexts.draw(_DONORS, generator)
            donors = self.flows[m].sample(_DONORS, generator, given)[:, : self.dim]
        filled = fill(features, donors.to(x), rank=m % 2)
        return torch.cat([filled, codes], dim=1)
