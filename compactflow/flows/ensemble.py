"""The fitted thing: several flows into one latent."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from math import inf, log
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.devices import finest_dtype, fresh_defaults, spread
from compactflow.flows.flow import CompactFlow
from compactflow.flows.frozen import Frozen
from compactflow.flows.gaps import fill
from compactflow.flows.neighbours import NEAREST, Neighbours
from compactflow.flows.reach import draw_out
from compactflow.flows.sampling import Settled, Varied
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull

__all__ = ["Ensemble"]

Array = NDArray[np.float64]

# Rows at a time, so that memory does not grow with their number. On a CPU so few that the
# activations stay in the cache, which makes it a third faster.
_CHUNK, _CHUNK_CPU, _CHUNK_SCORE = 8192, 2048, 256
_DONORS = 1024  # rows to sample, where there are no reference rows to fill gaps from


@final
class Ensemble(nn.Module):
    """M flows into one latent, with the pull they were trained with. Arrays in, arrays out.

    Each flow is a bijection of its own, and gives a row a score: how far its latent lies from the
    latent's support, or how far the row lies from reference rows, on the flow's graph. The support
    of the ensemble is the set of data whose mean score is at most its level, and the mean score
    above that its signed distance. Of a single flow that scores by the latent's support it is the
    image of that support grown, or shrunk, to the level; of others it has no such image. The first
    flow encodes and decodes. Nothing here depends on what the caller has set in torch, such as the
    default device: see `compactflow.devices.fresh_defaults`.

    A value may be NaN, a gap. Each flow fills it from the nearest of its reference rows, or of
    rows that it samples, every second flow from the second nearest: the mean is over draws.

    Args:
        networks: The flows' backbones, of dimension D.
        layers: Their fixed first layers.
        pull: The pull, on the latent that all flows share.
        scores: For each flow what scores rows by it, if that is not one of its own two ways.
        entropic: Whether the push maximises entropy, so that latents settle at ``exp(-pull)/Z``,
            and not at the latent distribution.

    Attributes:
        neighbours: For each flow its reference rows; empty if the flows score by the support.
        level: The mean score at which the support of the ensemble ends.

    Raises:
        ValueError: If the dimensions differ.

    Examples:
        >>> import numpy as np
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.ball import Ball
        >>> from compactflow.preprocessing.linear import Identity
        >>> from compactflow.pulls.norms import Euclidean
        >>> networks = [Coupling(2, blocks=2), Coupling(2, blocks=2)]
        >>> layers = [Identity(2), Identity(2)]
        >>> ensemble = Ensemble(networks, layers, Euclidean(Ball(2)))
        >>> X = np.array([[0.0, 0.5], [3.0, 4.0]])
        >>> each = [ensemble.member_scores(X, m) for m in range(2)]
        >>> bool(np.allclose(ensemble.signed_distance(X), np.mean(each, axis=0), atol=1e-6))
        True
    """

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
        self.neighbours = nn.ModuleList()
        self.scores = nn.ModuleList(scores)
        self.level = 0.0
        self._frozen: list[Frozen] = []  # one at most, shared with what `at` gives
        _ = self.flows  # which checks the dimensions

    @property
    def latent(self) -> Latent:
        """The latent of all flows."""
        return self.pull.latent

    @property
    def flows(self) -> list[CompactFlow]:
        """The flows, around the parts of this ensemble: what changes there changes here."""
        return [
            CompactFlow(cast("Backbone", network), self.latent, cast("Preprocessing", layer))
            for network, layer in zip(self.networks, self.layers, strict=True)
        ]

    @property
    def mapped(self) -> bool:
        """Whether the support is the image of a set in latent space: see `boundary`."""
        return len(self.networks) == 1 and self.natural

    @property
    def natural(self) -> bool:
        """Whether rows are scored by the latent's support."""
        return not self.neighbours and not self.scores

    @property
    def dim(self) -> int:
        """The number of features D."""
        return self.latent.dim

    @property
    def rounding(self) -> float:
        """Scores that differ by less are equal; above 1, as a share of them."""
        if self.latent.like.dtype != torch.float64:
            return 1e-4
        # Reference rows are kept in single precision, so that equal distances differ by that much.
        return 1e-5 if len(self.neighbours) or len(self.scores) else 1e-9

    def place(self, device: torch.device) -> None:
        """Move to a device, in the finest precision that it has.

        The same row then scores the same in any batch, and decoding inverts encoding, up to
        rounding error.
        """
        self.to(finest_dtype(device)).to(device)

    def cast(self, dtype: torch.dtype) -> None:
        """Compute in `dtype` from the networks on.

        The first layers keep their precision, since data may have large offsets.
        """
        self._frozen.clear()
        self.networks.to(dtype)
        self.pull.to(dtype)
        self.neighbours.to(dtype)
        self.scores.to(dtype)

    def in_precision(self, dtype: torch.dtype) -> Ensemble:
        """A copy that is `cast`."""
        with fresh_defaults():
            copied = copy.deepcopy(self)
            copied.cast(dtype)
        return copied

    def forward(self, x: Tensor) -> Tensor:
        """Signed distance of data ``(N, D)``, ``(N,)``: negative in the ensemble's support."""
        members = range(len(self.networks))
        return self.combine(torch.stack([self._score(x, m) for m in members])) - self.level

    def combine(self, scores: Tensor) -> Tensor:
        """The score from those of the flows ``(M, N)``, ``(N,)``: their mean, unless it is own."""
        return self._own(0).combine(scores) if self.scores else scores.mean(dim=0)

    def frozen(self) -> Frozen:
        """The mean score of all flows in few operations, prepared anew if a weight has changed."""
        if not self._frozen or not self._frozen[0].fits():
            layers = cast("list[Preprocessing]", list(self.layers))
            networks = cast("list[Backbone]", list(self.networks))
            known = cast("list[Neighbours]", list(self.neighbours))
            self._frozen[:] = [Frozen(layers, networks, known, self.latent)]
        return self._frozen[0]

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the weights is neither copied nor pickled.
        return vars(self) | {"_frozen": []}

    def at(self, level: float) -> Ensemble:
        """The same flows with another boundary."""
        moved = copy.copy(self)
        moved.level = level
        return moved

    @torch.no_grad()
    def remember(self, rows: Sequence[Tensor], *, nearest: int = NEAREST) -> None:
        """Score by the distance to reference rows from now on.

        Args:
            rows: For each flow data that it was trained on, ``(R, D)``.
            nearest: How many of them count.
        """
        self.prepare(len(rows[0]), nearest)
        for flow, neighbours, x in zip(self.flows, self.neighbours, rows, strict=True):
            cast("Neighbours", neighbours).fit(flow.preprocess(x), flow.backbone)

    def prepare(self, rows: int, nearest: int = NEAREST) -> None:
        """Make room for so many reference rows a flow, of which so many count."""
        self._frozen.clear()
        made = [Neighbours(self.dim, rows, nearest).to(self.latent.like) for _ in self.networks]
        self.neighbours = nn.ModuleList(made)

    def attach(self) -> None:
        """Make anew what follows from the weights, after they were loaded."""
        self._frozen.clear()
        for flow, neighbours in zip(self.flows, self.neighbours, strict=False):
            cast("Neighbours", neighbours).attach(flow.backbone)
        for m in range(len(self.scores)):
            self._own(m).attach(self.flows[m])

    @torch.no_grad()
    def fit_score(self, m: int, x: Tensor) -> None:
        """Let flow m's own score learn from data ``(N, D)`` that trained it."""
        self._own(m).fit(self.flows[m], self.pull, x)

    def encode(self, X: Array) -> Array:
        """The latents of data ``(N, D)`` by the first flow, ``(N, D)``."""
        flow = self.flows[0]
        return self._in_chunks(lambda x: flow.encode(self._without_gaps(x, 0)), X)

    def decode(self, Z: Array) -> Array:
        """The data of latents ``(N, D)`` by the first flow, ``(N, D)``.

        Raises:
            compactflow.backbones.base.ConvergenceError: If an iterative inverse fails.
        """
        return self._in_chunks(self.flows[0].decode, Z)

    @torch.no_grad()
    def sample(self, n: int, seed: int, *, inside: bool = True) -> Array:
        """Draw data that look like the inliers, ``(n, D)``, by the first flow.

        See `compactflow.flows.sampling`: reference rows are varied if there are any, and else
        latents decoded from where training leaves them.

        Args:
            n: How many.
            seed: Of the draws.
            inside: Whether to keep to the ensemble's support.

        Raises:
            ValueError: If hardly any of the draws are in the support.
        """
        generator = torch.Generator(self.latent.like.device).manual_seed(seed)
        score, rows = self if inside else None, np.empty((n, self.dim))
        with fresh_defaults():
            source = self._source(score)
            for part in np.array_split(rows, range(_CHUNK, n, _CHUNK)):
                drawn = source.draw(len(part), generator)
                part[:] = drawn.double().cpu().numpy()
        return rows

    def inliers(self, n: int, seed: int) -> Array:
        """At most n data to stand for the inliers, ``(K, D)``: reference rows if there are any."""
        if not self.neighbours:
            return self.sample(n, seed, inside=False)
        rows = cast("Neighbours", self.neighbours[0]).rows[:n].double().cpu().numpy()
        layer = cast("Preprocessing", self.layers[0])
        return self._in_chunks(lambda y: layer.inverse(draw_out(y)), rows)

    def sample_latents(self, n: int, seed: int) -> Array:
        """Draw latents from where training leaves them, ``(n, D)``: see `Settled`."""
        generator = torch.Generator(self.latent.like.device).manual_seed(seed)
        with fresh_defaults():
            return self._settled().latents(n, generator).double().cpu().numpy()

    def boundary(self, n: int) -> Array:
        """Latents on the support's boundary, ``(n, D)``: see `Latent.level_boundary`.

        Raises:
            ValueError: If the support is not `mapped` from latent space.
        """
        if not self.mapped:
            raise ValueError(
                "the boundary has no image in latent space: that takes a single flow, members=1, "
                "that scores by the latent's support, score_by='support'"
            )
        with fresh_defaults():
            return self.latent.level_boundary(n, self.level).double().cpu().numpy()

    def signed_distance(self, X: Array) -> Array:
        """Signed distance of data ``(N, D)``, ``(N,)``: negative in the ensemble's support."""
        if np.isnan(X).any():
            return self._in_chunks(self._through_gaps, X)
        if self.scores:
            return self._in_chunks(self, X)
        with fresh_defaults():
            score = self.frozen()
        return self._in_chunks(score, X, rows=_CHUNK_SCORE) - self.level

    def member_scores(self, X: Array, m: int) -> Array:
        """Score of data ``(N, D)`` by the flow m alone, ``(N,)``, whatever the level."""
        return self._in_chunks(lambda x: self._score(self._without_gaps(x, m), m), X)

    def log_density(self, X: Array) -> Array:
        """Log-density of data ``(N, D)`` in nats up to a constant of the pull, ``(N,)``.

        That of the mixture of the flows in equal shares.
        """
        flows = self.flows

        def mixture(x: Tensor) -> Tensor:
            each = ((flow, self._without_gaps(x, m)) for m, flow in enumerate(flows))
            densities = torch.stack([flow.log_density(self.pull, x) for flow, x in each])
            return densities.logsumexp(dim=0) - log(len(flows))

        return self._in_chunks(mixture, X)

    def constraints(self, Z: Array) -> Array:
        """Values of the latent's constraints at latents ``(N, D)``, ``(N, K)``."""
        return self._in_chunks(lambda z: self.latent.constraints(z.to(self.latent.like)), Z)

    def project(self, Z: Array) -> Array:
        """A point of the latent's support near each latent of ``(N, D)``, ``(N, D)``.

        The support is grown, or shrunk, to the level, if it gives the scores.
        """
        level = self.level if self.natural else 0.0
        project = self.latent.level_project
        return self._in_chunks(lambda z: project(z.to(self.latent.like), level), Z)

    def _own(self, m: int) -> Score:
        return cast("Score", self.scores[m])

    def _source(self, score: Callable[[Tensor], Tensor] | None) -> Settled | Varied:
        if self.neighbours:
            return Varied(self.flows[0], cast("Neighbours", self.neighbours[0]), score)
        return self._settled(score)

    def _settled(self, score: Callable[[Tensor], Tensor] | None = None) -> Settled:
        level = self.level if self.natural else inf
        return Settled(self.flows[0], self.pull, score, entropic=self.entropic, level=level)

    def _score(self, x: Tensor, m: int) -> Tensor:
        flow = self.flows[m]
        if self.scores:
            return cast("Tensor", self.scores[m](flow, self.pull, x))
        if not self.neighbours:
            return flow.signed_distance(x)
        y = flow.preprocess(x)
        score: Tensor = self.neighbours[m](y, flow.backbone(y))
        return score

    def _through_gaps(self, x: Tensor) -> Tensor:
        """`forward` of rows with gaps."""
        members = range(len(self.networks))
        scores = [self._score(self._without_gaps(x, m), m) for m in members]
        return self.combine(torch.stack(scores)) - self.level

    def _without_gaps(self, x: Tensor, m: int) -> Tensor:
        """The rows ``(N, D)`` as the flow m sees them."""
        if not x.isnan().any():
            return x
        layer = cast("Preprocessing", self.layers[m])
        if self.neighbours:
            donors = layer.inverse(cast("Neighbours", self.neighbours[m]).rows)
        else:
            generator = torch.Generator(x.device).manual_seed(m)
            donors = self.flows[m].sample(_DONORS, generator)
        return fill(x, donors.to(x), rank=m % 2)

    def _in_chunks(
        self, function: Callable[[Tensor], Tensor], X: Array, rows: int = _CHUNK_CPU
    ) -> Array:
        device = self.latent.like.device
        # Torch takes no reversed views, and warns of arrays that cannot be written.
        X = X if X.flags.writeable and min(X.strides) >= 0 else X.copy()
        chunks = torch.split(torch.from_numpy(X), rows if device.type == "cpu" else _CHUNK)
        dtype = finest_dtype(device)

        def compute(x: Tensor) -> Tensor:
            with fresh_defaults():
                return function(x.to(device, dtype)).double().cpu()

        return torch.cat(list(spread(compute, chunks, device))).numpy()
