"""The hypercube [-1, 1]^D with the uniform distribution."""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p
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

    def sample_softened(
        self, n: int, slope: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` points, ``(n, D)``: each coordinate by the inverse of its distribution.

        The density ``1 / (1 + exp(β(|z| - 1)))`` has an integral that can be solved for ``|z|``.
        """
        uniform = self.sample(n, generator)
        floor = log1p(exp(-slope)) / slope
        most = 1 - torch.finfo(uniform.dtype).eps
        share = uniform.abs().clamp(max=most) * (1 + floor) - floor
        size = share - torch.log1p(-(slope * (share - 1)).exp()) / slope
        return uniform.sign() * size.clamp(min=0)

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

    def level_project(self, z: Tensor, level: float) -> Tensor:
        """Clamp to ``[-1 - t, 1 + t]`` below 0, else shrink what is outside the cube, ``(N, D)``.

        What the coordinates have beyond the cube is projected onto the simplex of size t: all of
        it is shrunk by the same amount, to 0 at least.
        """
        if level < 0:
            side = self._side(level)
            return z.clamp(-side, side)
        excess = (z.abs() - 1).clamp(min=0)
        counts = torch.arange(1, self.dim + 1, dtype=z.dtype, device=z.device)
        surplus = excess.sort(dim=1, descending=True).values.cumsum(dim=1) - level
        amount = (surplus / counts).amax(dim=1, keepdim=True).clamp(min=0)
        return z.clamp(-1, 1) + z.sign() * (excess - amount).clamp(min=0)

    def level_sample(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` points uniformly from the cube grown, or shrunk, to a level, ``(n, D)``.

        The part of the grown cube where k given coordinates are outside has ``t^k / k!`` times the
        cube's volume.
        """
        z = self.sample(n, generator)
        if level <= 0:
            return self._side(level) * z
        k = torch.arange(self.dim + 1, dtype=torch.float64, device=z.device)
        weights = lgamma(self.dim + 1) - torch.lgamma(self.dim + 1 - k) + k * log(level)
        weights -= 2 * torch.lgamma(k + 1)
        counts = torch.multinomial(weights.softmax(0), n, replacement=True, generator=generator)
        order = torch.rand(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        outside = order.argsort(dim=1).argsort(dim=1) < counts[:, None]
        # Uniform in a simplex: exponentials over their sum and one more.
        gaps = z.new_empty(n, self.dim + 1).exponential_(generator=generator)
        gaps[:, 1:] *= outside
        excess = level * gaps[:, 1:] / gaps.sum(dim=1, keepdim=True)
        return torch.where(outside, z.sign() * (1 + excess), z)

    def _side(self, level: float) -> float:
        """Half the side of the cube shrunk to a level."""
        if level < -1:
            raise ValueError(f"level must be at least -1, which is a cube's centre, got {level}")
        return 1 + level

    def log_prob(self, z: Tensor) -> Tensor:
        """``-D log 2`` inside and ``-inf`` outside, ``(N,)``."""
        outside = self.gauge(z) > 1
        return z.new_full((len(z),), -self.dim * log(2)).masked_fill(outside, -inf)
