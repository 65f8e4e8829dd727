"""The standard normal distribution with a chi ball as its support."""

from __future__ import annotations

from math import log, pi
from typing import ClassVar, final

import torch
from scipy.stats import chi
from torch import Tensor

from compactflow.latents.spherical import Spherical

__all__ = ["Gaussian"]


@final
class Gaussian(Spherical):
    """Creates the standard normal whose support is the ball that holds ``1 - alpha`` of it.

    Args:
        dim: The dimension D.
        alpha: Mass left outside the support, in (0, 1).

    Raises:
        ValueError: If `alpha` is not in (0, 1).

    Examples:
        >>> latent = Gaussian(2, alpha=0.05)
        >>> round(latent.radius, 3)
        2.448
        >>> latent.signed_distance(torch.zeros(1, 2))
        tensor([-2.4477])
    """

    default_pull: ClassVar[str] = "squared"
    confining_pull: ClassVar[str] = "squared"

    def __init__(self, dim: int, *, alpha: float = 0.05) -> None:
        super().__init__(dim)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be in (0, 1), got {alpha}")
        self.alpha = alpha
        self.radius = float(chi.ppf(1 - alpha, dim))

    @property
    def share(self) -> float:
        """``1 - alpha``."""
        return 1 - self.alpha

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` standard normal points, ``(n, D)``."""
        return self._normal(n, generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """``-|z|²/2 - D/2 log 2π``, ``(N,)``."""
        return -0.5 * (z.square().sum(dim=1) + self.dim * log(2 * pi))
