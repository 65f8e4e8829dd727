"""The hypercube [-1, 1]^D with the uniform distribution."""

from __future__ import annotations

from math import inf, log
from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.latents.base import Latent, sphere

__all__ = ["Cube"]


@final
class Cube(Latent):
    """Creates the uniform distribution on the hypercube ``[-1, 1]^D``.

    Args:
        dim: The dimension D.

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*, eq. 2-4.

    Examples:
        >>> latent = Cube(2)
        >>> latent.signed_distance(torch.tensor([[0.0, 0.5], [2.0, 3.0]]))
        tensor([-0.5000,  3.0000])
        >>> latent.sample(4).shape
        torch.Size([4, 2])
    """

    default_pull: ClassVar[str] = "max-abs"

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points uniformly, ``(n, D)``."""
        like = self.like
        uniform = torch.rand(
            n, self.dim, generator=generator, dtype=like.dtype, device=like.device
        )
        return 2 * uniform - 1

    def constraints(self, z: Tensor) -> Tensor:
        """``|z_k| - 1``, ``(N, D)``."""
        return z.abs() - 1

    def gauge(self, z: Tensor) -> Tensor:
        """``max_k |z_k|``, ``(N,)``."""
        return z.abs().amax(dim=1)

    def project(self, z: Tensor) -> Tensor:
        """Clamp every coordinate to ``[-1, 1]``, ``(N, D)``."""
        return z.clamp(-1, 1)

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the faces, ``(n, D)``; in D = 2 one turn around the square, in order."""
        direction = sphere(self._normal(n, generator))
        return direction / self.gauge(direction).unsqueeze(1)

    def log_prob(self, z: Tensor) -> Tensor:
        """``-D log 2`` inside and ``-inf`` outside, ``(N,)``."""
        outside = self.gauge(z) > 1
        return z.new_full((len(z),), -self.dim * log(2)).masked_fill(outside, -inf)
