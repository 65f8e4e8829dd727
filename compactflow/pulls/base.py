"""The interface of a pull."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from compactflow.latents.base import Latent

__all__ = ["Pull"]


class Pull(nn.Module, ABC):
    """A scalar function on latent space that grows outward and so draws latents into K.

    The mirror push needs it convex, the Stein push only confining.

    Args:
        latent: The latent whose support it serves.

    Attributes:
        weight: What the trainer multiplies it by: see `compactflow.pushes.theory.balance`.

    Examples:
        >>> from compactflow.latents.cube import Cube
        >>> class Steep(Pull):
        ...     def forward(self, z):
        ...         return 2 * z.abs().amax(dim=1)
        >>> Steep(Cube(2))(torch.tensor([[0.5, -3.0]]))
        tensor([6.])
    """

    def __init__(self, latent: Latent) -> None:
        super().__init__()
        self.latent = latent
        self.weight = 1.0

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Value ``(N,)`` and gradient ``(N, D)`` at each row of ``(N, D)``, without a graph."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
