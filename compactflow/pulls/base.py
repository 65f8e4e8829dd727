"""The interface of a pull."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from compactflow.latents.base import Latent

__all__ = ["Pull"]

_SAMPLES = 16_384


class Pull(nn.Module, ABC):
    """A scalar function on latent space that grows outward and so draws latents into K.

    The mirror push needs it convex, the Stein push only confining.

    Args:
        latent: The latent whose support it serves.

    Attributes:
        weight: What an entropic push multiplies it by: see `balance`.
    """

    def __init__(self, latent: Latent) -> None:
        super().__init__()
        self.latent = latent
        self.weight = 1.0

    @property
    def keeps_latent(self) -> bool:
        """Whether ``exp(-β pull)/Z`` is the latent distribution itself, known in closed form."""
        return False

    def balance(self) -> None:
        """Set the weight β so that the latent distribution p keeps its size.

        Latents settle at ``exp(-β pull)/Z``, and under dilation p is stationary for
        ``β = D / E_p[z·∇pull(z)]`` (the virial identity): D + 1 for the gauge of a uniform
        support, 1 for the squared pull of the standard normal.
        """
        generator = torch.Generator(self.latent.like.device).manual_seed(0)
        z = self.latent.sample(_SAMPLES, generator)
        _, gradient = self.value_and_gradient(z)
        self.weight = self.latent.dim / (z * gradient).sum(dim=1).mean().item()

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
