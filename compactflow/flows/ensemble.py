"""The fitted thing: several flows into one latent."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from math import inf, log
from typing import cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compactflow.devices import finest_dtype, fresh_defaults, spread
from compactflow.flows.members import Members
from compactflow.flows.reach import draw_out
from compactflow.flows.sampling import Settled, Varied
from compactflow.preprocessing.base import Preprocessing

__all__ = ["Ensemble"]

Array = NDArray[np.float64]

# Rows at a time, so that memory does not grow with their number. On a CPU so few that the
# activations stay in the cache, which makes it a third faster.
_CHUNK, _CHUNK_CPU, _CHUNK_SCORE = 8192, 2048, 256


@final
class Ensemble(Members):
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
        scale: What all flows multiply the latents of their networks by.

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

    level: float = 0.0

    @property
    def mapped(self) -> bool:
        """Whether the support is the image of a set in latent space: see `boundary`."""
        return len(self.networks) == 1 and self._even

    @property
    def _even(self) -> bool:
        """Whether a flow's part of the support is the latent's, grown or shrunk to the level."""
        return self.natural and not self.matched

    def forward(self, x: Tensor) -> Tensor:
        """Signed distance of data ``(N, D)``, ``(N,)``: negative in the ensemble's support."""
        members = range(len(self.networks))
        scores = self.combine(torch.stack([self._score(x, m) for m in members]))
        if self.contexts is not None:
            scores = self.contexts.bring(scores, x[:, self.dim :])
        return scores - self.level

    def at(self, level: float, *, scale: float | None = None) -> Ensemble:
        """The same flows with another boundary, and another scale if it is given."""
        moved = copy.copy(self)
        moved.level = level
        if scale is not None:
            moved.scale = scale
        return moved

    def encode(self, X: Array, m: int = 0) -> Array:
        """The latents of data ``(N, D)`` by the flow m, ``(N, D)``: by default the first."""
        flow = self.flows[m]
        return self._in_chunks(lambda x: flow.encode(self._without_gaps(x, m)), X)

    def decode(self, Z: Array, codes: Array | None = None) -> Array:
        """The data of latents ``(N, D)`` by the first flow, ``(N, D)``.

        Args:
            Z: The latents.
            codes: What the data carry of their context, ``(N, P)``, if they do.

        Raises:
            compactflow.backbones.base.ConvergenceError: If an iterative inverse fails.
        """
        flow, dim = self.flows[0], self.dim
        if codes is None:
            return self._in_chunks(flow.decode, Z)
        rows = np.column_stack([Z, codes])
        return self._in_chunks(lambda row: flow.decode(row[:, :dim], row[:, dim:]), rows)

    @torch.no_grad()
    def sample(
        self, n: int, seed: int, *, inside: bool = True, codes: Array | None = None
    ) -> Array:
        """Draw data that look like the inliers, ``(n, D)``, by the first flow.

        See `compactflow.flows.sampling`: reference rows are varied if there are any, and else
        latents decoded from where training leaves them.

        Args:
            n: How many.
            seed: Of the draws.
            inside: Whether to keep to the ensemble's support.
            codes: What each is to carry of its context, ``(n, P)``; drawn as in training if not
                given.

        Raises:
            ValueError: If hardly any of the draws are in the support.
        """
        generator = torch.Generator(self.latent.like.device).manual_seed(seed)
        score, rows = self if inside else None, np.empty((n, self.width))
        with fresh_defaults():
            source = self._source(score)
            for start in range(0, n, _CHUNK):
                part = rows[start : start + _CHUNK]
                given = None
                if codes is not None:
                    given = torch.from_numpy(codes[start : start + _CHUNK]).to(self.latent.like)
                elif self.contexts is not None and not self.neighbours:
                    given = self.contexts.draw(len(part), generator)
                part[:] = source.draw(len(part), generator, given).double().cpu().numpy()
        return rows

    def inliers(self, n: int, seed: int) -> Array:
        """At most n data to stand for the inliers, ``(K, D)``: reference rows if there are any."""
        if not self.neighbours:
            return self.sample(n, seed, inside=False)
        rows = self.neighbours[0].rows[:n].double().cpu().numpy()
        layer = cast("Preprocessing", self.layers[0])
        dim = self.dim

        def restore(y: Tensor) -> Tensor:
            return torch.cat([layer.inverse(draw_out(y[:, :dim])), y[:, dim:]], dim=1)

        return self._in_chunks(restore, rows)

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
        quick = self.natural or self.neighbours
        if not quick or np.isnan(X).any():
            return self._in_chunks(self, X)
        with fresh_defaults():
            score = partial(self.frozen(), scale=self.scale)
        return self._in_chunks(score, X, rows=_CHUNK_SCORE) - self.level

    def member_scores(self, X: Array, m: int) -> Array:
        """Score of data ``(N, D)`` by the flow m alone, ``(N,)``, whatever the level."""
        return self._in_chunks(lambda x: self._score(x, m), X)

    def unmatch(self) -> None:
        """Leave the scores of groups as they are."""
        if self.contexts is not None:
            self.contexts.unmatch()

    def bring(self, scores: Array, X: Array) -> Array:
        """Scores ``(N,)`` of data ``(N, D)`` by some flows, as those of all groups."""
        if self.contexts is None:
            return scores
        codes = torch.from_numpy(X[:, self.dim :]).to(self.latent.like)
        return self.contexts.bring(torch.from_numpy(scores).to(codes), codes).cpu().numpy()

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

        The support is grown, or shrunk, to the level, if it gives the scores, alike in all groups.
        """
        level = self.level if self._even else 0.0
        project = self.latent.level_project
        return self._in_chunks(lambda z: project(z.to(self.latent.like), level), Z)

    def _source(self, score: Callable[[Tensor], Tensor] | None) -> Settled | Varied:
        if self.neighbours:
            return Varied(self.flows[0], self.neighbours[0], score)
        return self._settled(score)

    def _settled(self, score: Callable[[Tensor], Tensor] | None = None) -> Settled:
        level = self.level if self._even else inf
        return Settled(self.flows[0], self.pull, score, entropic=self.entropic, level=level)

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
