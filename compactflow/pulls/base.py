"""The interface of a pull."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf

import torch
from torch import Tensor, nn

from compactflow.latents.base import Latent
from compactflow.randomness import normal_like

__all__ = ["Pull"]

_STEPS = 200  # of a chain
_ACCEPTANCE = 0.574  # optimal for Langevin proposals in many dimensions


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
        self.weight: float = 1.0

    def value_and_gradient(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Value ``(N,)`` and gradient ``(N, D)`` at each row of ``(N, D)``, without a graph."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            value = self(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), gradient

    def settle(
        self, n: int, generator: torch.Generator | None = None, *, level: float = inf
    ) -> Tensor:
        """Draw `n` latents from ``exp(-β pull)/Z``, ``(n, D)``, as entropic pushes leave them.

        β is the weight. By the Metropolis-adjusted Langevin algorithm, which starts at draws from
        the latent distribution and adapts its step; a subclass with a closed form overrides it.

        Args:
            n: How many.
            generator: Where to draw from.
            level: Only latents of at most this signed distance.

        References:
            Roberts, Tweedie (1996), *Exponential convergence of Langevin distributions and their
            discrete approximations*. Roberts, Rosenthal (1998), *Optimal scaling of discrete
            approximations to Langevin diffusions*, for the acceptance rate.
        """
        latent = self.latent
        bounded = level < inf
        z = latent.level_sample(n, level, generator) if bounded else latent.sample(n, generator)
        step = 0.1 * float(z.std(correction=0)) ** 2
        energy, gradient = (self.weight * part for part in self.value_and_gradient(z))
        for _ in range(_STEPS):
            noise = (2 * step) ** 0.5 * normal_like(z, generator)
            moved = z - step * gradient + noise
            moved_energy, moved_gradient = (
                self.weight * part for part in self.value_and_gradient(moved)
            )
            # What the proposals of the way back and of the way there add, with their squares
            # written out.
            both = gradient + moved_gradient
            proposals = (both * (noise - step / 2 * both)).sum(dim=1) / 2
            log_ratio = energy - moved_energy + proposals
            uniform = torch.rand(n, generator=generator, dtype=z.dtype, device=z.device)
            accepted = uniform.log() < log_ratio
            if bounded:
                accepted &= latent.signed_distance(moved) <= level
            z = torch.where(accepted[:, None], moved, z)
            gradient = torch.where(accepted[:, None], moved_gradient, gradient)
            energy = torch.where(accepted, moved_energy, energy)
            step *= 1.1 if accepted.double().mean() > _ACCEPTANCE else 1 / 1.1
        return z

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
