"""Convex pulls that are norms, powers of norms, or the gauge of the support."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.pulls.base import Pull

__all__ = ["Euclidean", "Gauge", "Lp", "MaxAbs", "Squared"]


@final
class MaxAbs(Pull):
    """Creates the pull ``max_k |z_k|`` (Schmier, Köthe, Straehle 2024).

    Examples:
        >>> from compactflow.latents.cube import Cube
        >>> MaxAbs(Cube(2))(torch.tensor([[3.0, -4.0]]))
        tensor([4.])
    """

    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
        return z.abs().amax(dim=1)


@final
class Euclidean(Pull):
    """Creates the pull ``|z|``.

    Examples:
        >>> from compactflow.latents.cube import Cube
        >>> Euclidean(Cube(2))(torch.tensor([[3.0, -4.0]]))
        tensor([5.])
    """

    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
        return z.norm(dim=1)


@final
class Squared(Pull):
    """Creates the pull ``|z|²/2``, minus the log-density of a standard normal.

    Examples:
        >>> from compactflow.latents.cube import Cube
        >>> Squared(Cube(2))(torch.tensor([[3.0, -4.0]]))
        tensor([12.5000])
    """

    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
        return 0.5 * z.square().sum(dim=1)


@final
class Lp(Pull):
    """Creates the pull ``(Σ_k |z_k|^p)^(1/p)``.

    Args:
        latent: The latent whose support it serves.
        p: Order of the norm, at least 1 (below it the function is not convex).

    Raises:
        ValueError: If `p` is smaller than 1.

    Examples:
        >>> from compactflow.latents.cube import Cube
        >>> Lp(Cube(2))(torch.tensor([[3.0, -4.0]]))
        tensor([4.2846])
    """

    def __init__(self, latent: Latent, *, p: float = 4.0) -> None:
        super().__init__(latent)
        if not p >= 1:
            raise ValueError(f"p must be at least 1 for the norm to be convex, got {p}")
        self.p = p

    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
        return torch.linalg.vector_norm(z, ord=self.p, dim=1)


@final
class Gauge(Pull):
    """Creates the pull that is the gauge (Minkowski functional) of the latent's support.

    Examples:
        >>> from compactflow.latents.cube import Cube
        >>> Gauge(Cube(2))(torch.tensor([[3.0, -4.0]]))
        tensor([4.])
    """

    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
        return self.latent.gauge(z)
