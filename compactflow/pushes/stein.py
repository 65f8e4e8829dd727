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
    """Creates the push ``-(1/σ) ε·(T(x⁺) - T(x))`` with ``x⁺ = sg T⁻¹(T(x) + σε)``, ε normal.

    With ``h = ∂θT ∘ T⁻¹`` the velocity in latent space, Stein's identity
    ``E[ε·h(u + σε)]/σ = E[∇·h(u + σε)]`` makes its gradient that of ``-E log |det ∂T/∂x|``,
    smoothed at scale σ. Subtracting ``T(x)`` leaves the mean unchanged and lowers the variance.
    The decoded points lie near x, so an iterative inverse starts there.

    Args:
        sigma: σ, the smoothing scale in latent units, positive.
        fraction: Share of the batch that carries the push, in (0, 1]: less is faster and noisier.

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
        noise = self._draw(z)
        n = len(noise)
        shifted = flow.backbone.recode(z[:n].detach() + self.sigma * noise, start=x[:n])
        return self._term(noise, z, shifted)

    def loss(self, flow: CompactFlow, x: Tensor, pull: Pull) -> Tensor:
        """The weighted pull and this push of one batch ``(N, D)``, from shared passes."""
        noise = self._draw(x)
        z, shifted = flow.backbone.forward_and_recode(x, self.sigma * noise)
        return pull.weight * pull(z).mean() + self._term(noise, z, shifted)

    def _draw(self, like: Tensor) -> Tensor:
        """ε for the rows that carry the push."""
        return torch.randn_like(like[: ceil(self.fraction * len(like))])

    def _term(self, noise: Tensor, z: Tensor, shifted: Tensor) -> Tensor:
        return -(noise * (shifted - z[: len(noise)])).sum(dim=1).mean() / self.sigma
