"""The maximum-entropy push by Stein's identity, without a Jacobian."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor

from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

if TYPE_CHECKING:
    from compactflow.flow import CompactFlow

__all__ = ["Stein"]


@final
class Stein(Push):
    """Creates the push ``-(1/σ) ε·(T(x⁺) - T(x))`` with ``x⁺ = sg T⁻¹(T(x) + σε)``, ε random.

    With ``h = ∂θT ∘ T⁻¹`` the velocity in latent space and ε normal, Stein's identity
    ``E[ε·h(u + σε)]/σ = E[∇·h(u + σε)]`` makes its gradient that of ``-E log |det ∂T/∂x|``,
    smoothed at scale σ. Subtracting ``T(x)`` leaves the mean unchanged and lowers the variance.
    The points x⁺ lie near x, so an iterative inverse starts there.

    A backbone may use the identity in each map of the chain that it is, and draw ε where the map
    moves anything only: `Backbone.forward_and_divergence`. The variance falls; for affine
    couplings and affine autoregressive layers it vanishes.

    Args:
        sigma: σ, the smoothing scale in latent units, positive.
        fraction: Share of the batch that carries the push, in (0, 1]: less is faster and noisier
            where the push takes an inverse.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Stein (1981), *Estimation of the mean of a multivariate normal distribution*, lemma 2.
    """

    entropic: ClassVar[bool] = True

    def __init__(self, *, sigma: float = 0.1, fraction: float = 1.0) -> None:
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, got {sigma}")
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {fraction}")
        self.sigma = sigma
        self.fraction = fraction

    def __call__(self, flow: CompactFlow, x: Tensor, z: Tensor, pull: Pull) -> Tensor:
        """The loss term of one batch ``(N, D)``, a scalar."""
        return self._spread(flow, x)[1]

    def loss(self, flow: CompactFlow, x: Tensor, pull: Pull) -> Tensor:
        """The weighted pull and this push of one batch ``(N, D)``, from shared passes."""
        z, term = self._spread(flow, x)
        if len(z) < len(x):
            z = torch.cat([z, flow.backbone(x[len(z) :])])
        return pull.weight * pull(z).mean() + term

    def _spread(self, flow: CompactFlow, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of the rows that carry the push, and the loss term."""
        carrying = x[: ceil(self.fraction * len(x))]
        z, divergence = flow.backbone.forward_and_divergence(carrying, self.sigma)
        return z, -divergence.mean()
