"""The interface of a pull."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from compactflow.latents.base import Latent

__all__ = ["Pull"]


class Pull(nn.Module, ABC):
    """A scalar function on latent space that grows outward and so draws latents into K.

    The mirror push needs it convex, the Stein push only confining.

    Args:
        latent: The latent whose support it serves.
    """

    def __init__(self, latent: Latent) -> None:
        super().__init__()
        self.latent = latent

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
