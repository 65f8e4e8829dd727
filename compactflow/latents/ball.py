"""The unit ball with the uniform distribution."""

from __future__ import annotations

from math import inf, lgamma, log, pi
from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.latents.base import Latent, sphere

__all__ = ["Ball"]


@final
class Ball(Latent):
    """Creates the uniform distribution on the unit ball ``{|z| ≤ 1}``.

    Args:
        dim: The dimension D.

    Examples:
        >>> latent = Ball(2)
        >>> latent.signed_distance(torch.tensor([[0.0, 0.5], [3.0, 4.0]]))
        tensor([-0.5000,  4.0000])
    """

    default_pull: ClassVar[str] = "euclidean"

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points uniformly, ``(n, D)``: direction times ``U^(1/D)``."""
        normal = self._normal(n, generator)
        radius = torch.rand(
            n, 1, generator=generator, dtype=normal.dtype, device=normal.device
        ) ** (1 / self.dim)
        return radius * normal / normal.norm(dim=1, keepdim=True)

    def constraints(self, z: Tensor) -> Tensor:
        """``|z| - 1``, ``(N, 1)``."""
        return z.norm(dim=1, keepdim=True) - 1

    def gauge(self, z: Tensor) -> Tensor:
        """``|z|``, ``(N,)``."""
        return z.norm(dim=1)

    def project(self, z: Tensor) -> Tensor:
        """Scale points outside back to the unit sphere, ``(N, D)``."""
        return z / self.gauge(z).clamp(min=1).unsqueeze(1)

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the unit sphere, ``(n, D)``; in D = 2 one turn around it, in order."""
        return sphere(self._normal(n, generator))

    def log_prob(self, z: Tensor) -> Tensor:
        """Minus the log-volume of the ball inside and ``-inf`` outside, ``(N,)``."""
        log_volume = self.dim / 2 * log(pi) - lgamma(self.dim / 2 + 1)
        return z.new_full((len(z),), -log_volume).masked_fill(self.gauge(z) > 1, -inf)
