"""Samples of the distribution at which the latents settle, where pull and push balance."""

from __future__ import annotations

import torch
from torch import Tensor

from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import normal_like

__all__ = ["sample_equilibrium"]

_STEPS = 200
_ACCEPTANCE = 0.574  # optimal for Langevin proposals in many dimensions


def sample_equilibrium(
    pull: Pull, push: Push, n: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `n` latents as training leaves them, ``(n, D)``.

    They follow the latent distribution, or under an entropic push ``exp(-β pull)/Z`` with β the
    pull's weight. The latter is drawn by the Metropolis-adjusted Langevin algorithm, which starts
    at draws from the latent distribution and adapts its step.

    References:
        Roberts, Tweedie (1996), *Exponential convergence of Langevin distributions and their
        discrete approximations*. Roberts, Rosenthal (1998), *Optimal scaling of discrete
        approximations to Langevin diffusions*, for the acceptance rate.
    """
    z = pull.latent.sample(n, generator)
    if not push.entropic:
        return z
    step = 0.1 * float(z.std()) ** 2
    energy, gradient = (pull.weight * part for part in pull.value_and_gradient(z))
    for _ in range(_STEPS):
        moved = z - step * gradient + (2 * step) ** 0.5 * normal_like(z, generator)
        moved_energy, moved_gradient = (
            pull.weight * part for part in pull.value_and_gradient(moved)
        )
        log_ratio = (
            energy
            - moved_energy
            + _log_proposal(z, moved, moved_gradient, step)
            - _log_proposal(moved, z, gradient, step)
        )
        uniform = torch.rand(n, generator=generator, dtype=z.dtype, device=z.device)
        accepted = uniform.log() < log_ratio
        z = torch.where(accepted[:, None], moved, z)
        gradient = torch.where(accepted[:, None], moved_gradient, gradient)
        energy = torch.where(accepted, moved_energy, energy)
        step *= 1.1 if accepted.double().mean() > _ACCEPTANCE else 1 / 1.1
    return z


def _log_proposal(to: Tensor, start: Tensor, gradient: Tensor, step: float) -> Tensor:
    """Log-density of a proposal, up to a constant, ``(N,)``."""
    return -(to - start + step * gradient).square().sum(dim=1) / (4 * step)
