"""What the latents share whose support is a ball."""

from __future__ import annotations

from abc import ABC

import numpy as np
import torch
from scipy.integrate import cumulative_trapezoid
from scipy.special import xlogy
from torch import Tensor

from compactflow.latents.base import Latent, sphere

__all__ = ["Spherical", "in_unit_ball"]

_RADII = 20_000  # of a table
_TAIL = 40.0  # beyond which no mass is left, in edges


class Spherical(Latent, ABC):
    """A latent whose support is the ball ``{|z| ≤ r}``.

    Attributes:
        radius: r.

    Examples:
        >>> from compactflow.latents.ball import Ball
        >>> Ball(2).level_project(torch.tensor([[3.0, 4.0]]), 1.0)
        tensor([[1.2000, 1.6000]])
    """

    radius: float = 1.0

    def sample_softened(
        self, n: int, slope: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` points, ``(n, D)``: a direction, and a radius by its tabled distribution."""
        normal = self._normal(n, generator)
        reach = self.radius + (self.dim + _TAIL) / slope
        radii = np.linspace(0, reach, _RADII)
        log_density = xlogy(self.dim - 1, radii) - np.logaddexp(0, slope * (radii - self.radius))
        cdf = cumulative_trapezoid(np.exp(log_density - log_density.max()), radii, initial=0)
        uniform = torch.rand(n, generator=generator, dtype=normal.dtype, device=normal.device)
        drawn = np.interp(uniform.double().cpu().numpy() * cdf[-1], cdf, radii)
        radius = torch.from_numpy(drawn).to(normal)[:, None]
        return radius * normal / normal.norm(dim=1, keepdim=True)

    def constraints(self, z: Tensor) -> Tensor:
        """``|z| - r``, ``(N, 1)``."""
        return z.norm(dim=1, keepdim=True) - self.radius

    def gauge(self, z: Tensor) -> Tensor:
        """``|z| / r``, ``(N,)``."""
        return self.level_gauge(z, 0.0)

    def project(self, z: Tensor) -> Tensor:
        """Scale points outside back to the sphere of radius r, ``(N, D)``."""
        return self.level_project(z, 0.0)

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the sphere of radius r, ``(n, D)``; in D = 2 one turn, in order."""
        return self.level_boundary(n, 0.0, generator)

    def level_gauge(self, z: Tensor, level: float) -> Tensor:
        """``|z| / (r + t)``, ``(N,)``."""
        return z.norm(dim=1) / self._radius(level)

    def level_project(self, z: Tensor, level: float) -> Tensor:
        """Scale points outside back to the sphere of radius r + t, ``(N, D)``."""
        return z / self.level_gauge(z, level).clamp(min=1).unsqueeze(1)

    def level_boundary(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Points on the sphere of radius r + t, ``(n, D)``; in D = 2 one turn, in order."""
        return self._radius(level) * sphere(self._normal(n, generator))

    def level_sample(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` points uniformly from the ball of radius r + t, ``(n, D)``."""
        return self._radius(level) * in_unit_ball(self._normal(n, generator), generator)

    def _radius(self, level: float) -> float:
        radius = self.radius + level
        if not radius > 0:
            raise ValueError(f"level must be above {-self.radius:.6g}, the centre's, got {level}")
        return radius


def in_unit_ball(normal: Tensor, generator: torch.Generator | None) -> Tensor:
    """Points uniform in the unit ball ``(n, D)`` from standard normal draws ``(n, D)``."""
    n, dim = normal.shape
    radius = torch.rand(n, 1, generator=generator, dtype=normal.dtype, device=normal.device)
    return radius ** (1 / dim) * normal / normal.norm(dim=1, keepdim=True)
