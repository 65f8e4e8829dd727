"""A union of disjoint cubes or balls."""

from __future__ import annotations

from math import inf
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from compactflow.latents.ball import Ball
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow_union.clusters import find_clusters

__all__ = ["Union"]

_SPACING = 3.0  # between the centres of the nearest parts, in half-widths: a gap as wide as one
_ROWS = 2000  # clustering is quadratic in the rows


@final
class Union(Latent):
    """Creates a support of K disjoint cubes or balls of half-width 1, uniform on each.

    Before training it finds the clusters of the data and gives each its part: placed as the
    clusters lie to each other, with the cluster's share as its weight. Until then the parts lie in
    a row with equal weights.

    Args:
        dim: The dimension D.
        components: K, at least 1; ``None`` takes as many as the data has dense clusters.
        shape: Of the parts, ``"cube"`` or ``"ball"``.

    Raises:
        ValueError: If an argument is out of range.
    """

    default_pull: ClassVar[str] = "barrier"

    centres: Tensor
    weights: Tensor

    def __init__(
        self, dim: int, *, components: int | None = None, shape: Literal["cube", "ball"] = "cube"
    ) -> None:
        super().__init__(dim)
        if components is not None and components < 1:
            raise ValueError(f"components must be at least 1 or None, got {components}")
        if shape not in ("cube", "ball"):
            raise ValueError(f"shape must be 'cube' or 'ball', got {shape!r}")
        self.components = components
        self.part: Latent = Cube(dim) if shape == "cube" else Ball(dim)
        count = components or 2
        self.register_buffer("centres", _in_a_row(count, dim))
        self.register_buffer("weights", torch.full((count,), 1 / count))

    def adapt(self, x: Tensor) -> Tensor:
        """Give each cluster of preprocessed inliers ``(N, D)`` a part of the support.

        Returns:
            For each row a point of its cluster's part, ``(N, D)``.
        """
        labels = find_clusters(x, self.components, _ROWS)
        count = int(labels.max()) + 1
        groups = [x[labels == k] for k in range(count)]
        means = torch.stack([group.mean(dim=0) for group in groups])
        self.centres = _spread(means)
        self.weights = torch.stack([labels.eq(k).to(x).mean() for k in range(count)])
        spread = torch.stack([group.std(dim=0, correction=0) for group in groups])
        inside = (x - means[labels]) / (2 * spread[labels]).clamp_min(1e-6)
        return self.centres[labels] + self.part.project(inside)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points, ``(n, D)``: a part by its weight, then uniformly in it."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return self.centres[which] + self.part.sample(n, generator)

    def constraints(self, z: Tensor) -> Tensor:
        """The constraints of the nearest part at each row of ``(N, D)``."""
        offsets = self._offsets(z)
        nearest = self._distances(offsets).argmin(dim=1)
        rows = torch.arange(len(z), device=z.device)
        return self.part.constraints(offsets[rows, nearest])

    def signed_distance(self, z: Tensor) -> Tensor:
        """That of the nearest part, ``(N,)``."""
        return self._distances(self._offsets(z)).amin(dim=1)

    def project(self, z: Tensor) -> Tensor:
        """The nearest point of the nearest part, ``(N, D)``."""
        offsets = self._offsets(z)
        parts = self.part.project(offsets.flatten(0, 1)).view_as(offsets)
        nearest = (parts - offsets).norm(dim=2).argmin(dim=1)
        rows = torch.arange(len(z), device=z.device)
        return parts[rows, nearest] + self.centres[nearest]

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the parts' boundaries, ``(n, D)``: the parts one after the other."""
        sizes = [len(chunk) for chunk in torch.arange(n).tensor_split(len(self.centres))]
        parts = [
            centre + self.part.boundary(size, generator)
            for centre, size in zip(self.centres, sizes, strict=True)
        ]
        return torch.cat(parts)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats, ``(N,)``: ``-inf`` outside."""
        offsets = self._offsets(z)
        each = self.part.log_prob(offsets.flatten(0, 1)).view(offsets.shape[:2])
        return (each + self.weights.log()).logsumexp(dim=1)

    def _offsets(self, z: Tensor) -> Tensor:
        """From each centre to each row, ``(N, K, D)``."""
        return z[:, None] - self.centres

    def _distances(self, offsets: Tensor) -> Tensor:
        """Signed distance to each part, ``(N, K)``."""
        return self.part.signed_distance(offsets.flatten(0, 1)).view(offsets.shape[:2])


def _in_a_row(count: int, dim: int) -> Tensor:
    """Centres along the first axis, around 0, ``(K, D)``."""
    centres = torch.zeros(count, dim)
    centres[:, 0] = _SPACING * (torch.arange(count) - (count - 1) / 2)
    return centres


def _spread(means: Tensor) -> Tensor:
    """Centres ``(K, D)`` that lie to each other as the means do, with gaps between the parts."""
    if len(means) == 1:
        return torch.zeros_like(means)
    distance = torch.cdist(means, means, p=inf)
    pairs = distance[~torch.eye(len(means), dtype=torch.bool, device=means.device)]
    if pairs.min() < 0.1 * pairs.max():  # the clusters do not lie side by side
        return _in_a_row(*means.shape).to(means)
    return (means - means.mean(dim=0)) * (_SPACING / pairs.min())
