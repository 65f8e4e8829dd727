"""Concentric spherical shells."""

from __future__ import annotations

from math import lgamma, log, pi
from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.latents.base import Latent, sphere
from compactflow_shell.radii import find_groups

__all__ = ["Shell"]


@final
class Shell(Latent):
    """Creates a support of K concentric shells ``2k - 1 ≤ |z| ≤ 2k``, uniform on each.

    It suits data around one or more rings or spheres: what lies inside a ring, or between two, is
    outside the support. Before training it groups the rows by their distance from the centre and
    gives each group its shell, with the group's share as its weight. Until then the weights are
    equal.

    Args:
        dim: The dimension D. With D = 1 a shell is a pair of intervals.
        shells: K, at least 1; ``None`` takes as many as the distances have dense groups.

    Raises:
        ValueError: If `shells` is smaller than 1.
    """

    default_pull: ClassVar[str] = "barrier"

    weights: Tensor

    def __init__(self, dim: int, *, shells: int | None = None) -> None:
        super().__init__(dim)
        if shells is not None and shells < 1:
            raise ValueError(f"shells must be at least 1 or None, got {shells}")
        self.shells = shells
        count = shells or 1
        self.register_buffer("weights", torch.full((count,), 1 / count))

    def adapt(self, x: Tensor) -> Tensor:
        """Give each group of distances of preprocessed inliers ``(N, D)`` its shell.

        Returns:
            For each row a point of its group's shell, ``(N, D)``, in the row's direction.
        """
        radius = x.norm(dim=1)
        labels = find_groups(radius, self.shells)
        groups = [radius[labels == k] for k in range(int(labels.max()) + 1)]
        self.weights = torch.stack([radius.new_tensor(len(g) / len(x)) for g in groups])
        low = torch.stack([group.quantile(0.05) for group in groups])[labels]
        high = torch.stack([group.quantile(0.95) for group in groups])[labels]
        share = ((radius - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
        target = self._inner(labels) + share
        return x * (target / radius.clamp_min(1e-6)).unsqueeze(1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points, ``(n, D)``: a shell by its weight, then uniformly in it."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        normal = self._normal(n, generator)
        uniform = torch.rand(n, generator=generator, dtype=normal.dtype, device=normal.device)
        inner = self._inner(which)
        low, high = inner**self.dim, (inner + 1) ** self.dim
        radius = (low + uniform * (high - low)) ** (1 / self.dim)
        return normal * (radius / normal.norm(dim=1)).unsqueeze(1)

    def constraints(self, z: Tensor) -> Tensor:
        """``(inner - |z|, |z| - outer)`` of the nearest shell, ``(N, 2)``."""
        radius = z.norm(dim=1)
        inner = self._inner(self._nearest(radius))
        return torch.stack([inner - radius, radius - inner - 1], dim=1)

    def project(self, z: Tensor) -> Tensor:
        """The nearest point of the nearest shell, ``(N, D)``; 0 goes along the first axis."""
        radius = z.norm(dim=1, keepdim=True)
        inner = self._inner(self._nearest(radius))
        first = torch.eye(self.dim, dtype=z.dtype, device=z.device)[0].expand_as(z)
        direction = torch.where(radius > 0, z / radius.clamp_min(1e-30), first)
        inside = (radius >= inner) & (radius <= inner + 1)
        return torch.where(inside, z, direction * radius.clamp(inner, inner + 1))

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the shells' inner and outer spheres, ``(n, D)``, one after the other."""
        sizes = [len(chunk) for chunk in torch.arange(n).tensor_split(2 * len(self.weights))]
        spheres = [(i + 1) * sphere(self._normal(size, generator)) for i, size in enumerate(sizes)]
        return torch.cat(spheres)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats, ``(N,)``: ``-inf`` outside."""
        radius = z.norm(dim=1)
        nearest = self._nearest(radius)
        inner = self._inner(nearest)
        unit_ball = self.dim / 2 * log(pi) - lgamma(self.dim / 2 + 1)
        log_volume = unit_ball + ((inner + 1) ** self.dim - inner**self.dim).log()
        outside = (radius < inner) | (radius > inner + 1)
        return (self.weights[nearest].log() - log_volume).masked_fill(outside, -torch.inf)

    def _inner(self, which: Tensor) -> Tensor:
        """The inner radius of shells by their number."""
        return 2 * which.to(self.weights) + 1

    def _nearest(self, radius: Tensor) -> Tensor:
        """The number of the nearest shell."""
        # Halfway between two shells, at |z| = 2k + 1/2, the outer one takes over.
        return ((radius - 0.5) / 2).floor().clamp(0, len(self.weights) - 1).long()
