"""A latent that no pull or push was written for."""

from __future__ import annotations

from math import inf, lgamma, log, sqrt
from typing import final

import torch
from torch import Tensor

from compactflow.latents.base import Latent, sphere

__all__ = ["Diamond"]


@final
class Diamond(Latent):
    """Creates the uniform distribution on the cross-polytope ``Σ_k |z_k| ≤ 1``.

    Args:
        dim: The dimension D.

    Examples:
        >>> Diamond(2).gauge(torch.tensor([[0.5, -1.0]]))
        tensor([1.5000])
    """

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points uniformly, ``(n, D)``."""
        gaps = self._normal(n, generator).new_empty(n, self.dim + 1)
        gaps.exponential_(generator=generator)
        signs = torch.empty_like(gaps[:, 1:]).bernoulli_(generator=generator) * 2 - 1
        return signs * gaps[:, 1:] / gaps.sum(dim=1, keepdim=True)

    def constraints(self, z: Tensor) -> Tensor:
        """``(Σ_k |z_k| - 1) / √D``, ``(N, 1)``."""
        return (self.gauge(z).unsqueeze(1) - 1) / sqrt(self.dim)

    def gauge(self, z: Tensor) -> Tensor:
        """``Σ_k |z_k|``, ``(N,)``."""
        return z.abs().sum(dim=1)

    @property
    def edge(self) -> float:
        """The width of the soft edge, which shrinks as the diamond does."""
        return 0.4 / self.dim**1.5

    def project(self, z: Tensor) -> Tensor:
        """Shrink every magnitude by the same amount, to 0 at least, ``(N, D)``."""
        magnitude = z.abs()
        count = torch.arange(1, self.dim + 1, dtype=z.dtype, device=z.device)
        excess = magnitude.sort(dim=1, descending=True).values.cumsum(dim=1) - 1
        amount = (excess / count).amax(dim=1, keepdim=True).clamp(min=0)
        return z.sign() * (magnitude - amount).clamp(min=0)

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the faces, ``(n, D)``."""
        direction = sphere(self._normal(n, generator))
        return direction / self.gauge(direction).unsqueeze(1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Minus the log-volume inside, ``-inf`` outside, ``(N,)``."""
        log_volume = self.dim * log(2) - lgamma(self.dim + 1)
        return z.new_full((len(z),), -log_volume).masked_fill(self.gauge(z) > 1, -inf)
