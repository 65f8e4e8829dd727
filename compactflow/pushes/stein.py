"""The maximum-entropy push by Stein's identity, without a Jacobian."""

from __future__ import annotations

from math import ceil
from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import part
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

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

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> backbone, pull = Coupling(3), Barrier(Cube(3))
        >>> z, term = Stein()(backbone, pull, torch.randn(8, 3))
        >>> loss = pull(z).mean() + term
        >>> z.shape, term.shape
        (torch.Size([8, 3]), torch.Size([]))
    """

    entropic: ClassVar[bool] = True
    rowwise: ClassVar[bool] = True

    def __init__(self, *, sigma: float = 0.1, fraction: float = 1.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, got {sigma}")
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction must be in (0, 1], got {fraction}")
        self.sigma = sigma
        self.fraction = fraction

    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Push.forward`; shared passes give both."""
        count = ceil(self.fraction * len(x))
        (carrying, others), (one, other) = x.tensor_split([count]), part(backbone, count)
        z, divergence = one.forward_and_divergence(carrying, self.sigma, generator)
        return torch.cat([z, other(others)]) if len(others) else z, -divergence.mean()
