"""The unit ball with the uniform distribution."""

from __future__ import annotations

from math import inf, lgamma, log, pi
from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.latents.spherical import Spherical, in_unit_ball

__all__ = ["Ball"]


@final
class Ball(Spherical):
    """Creates the uniform distribution on the unit ball ``{|z| ≤ 1}``.

    Args:
        dim: The dimension D.

    Examples:
        >>> latent = Ball(2)
        >>> latent.signed_distance(torch.tensor([[0.0, 0.5], [3.0, 4.0]]))
        tensor([-0.5000,  4.0000])
    """

    default_pull: ClassVar[str] = "euclidean"

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points uniformly, ``(n, D)``: direction times ``U^(1/D)``."""
        return in_unit_ball(self._normal(n, generator), generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """Minus the log-volume of the ball inside and ``-inf`` outside, ``(N,)``."""
        log_volume = self.dim / 2 * log(pi) - lgamma(self.dim / 2 + 1)
        return z.new_full((len(z),), -log_volume).masked_fill(self.gauge(z) > 1, -inf)
