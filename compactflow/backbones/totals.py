"""The base of backbones that make their log-det, or Stein's estimate, as rows pass."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone

__all__ = ["TotallingBackbone"]


class TotallingBackbone(Backbone):
    """A backbone of several maps, each of which says in passing how it spreads a row.

    The sum over the maps is the log-det, or of estimates of it that of the whole: see
    `Backbone.forward_and_divergence`. What a class writes is `forward_and_total`.
    """

    @abstractmethod
    def forward_and_total(
        self,
        x: Tensor,
        context: Tensor | None,
        sigma: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Map data ``(N, D)`` to latents ``(N, D)``, with the sum of how the maps spread each row.

        Args:
            x: Data.
            context: The context of each row, ``(N, C)``, or ``None``.
            sigma: The scale of Stein's estimates; if ``None``, the sum is the log-det.
            generator: Where to draw these estimates' noise from.
        """

    def log_abs_det(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        return self.forward_and_log_abs_det(x, context=context)[1]

    def forward_and_log_abs_det(
        self, x: Tensor, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        return self.forward_and_total(x, context)

    def forward_and_divergence(
        self,
        x: Tensor,
        sigma: float,
        generator: torch.Generator | None = None,
        *,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Latents ``(N, D)`` of data ``(N, D)`` and the sum of the maps' estimates, ``(N,)``."""
        return self.forward_and_total(x, context, sigma, generator)

    def compile_passes(self) -> None:
        """See `Backbone.compile_passes`."""
        super().compile_passes()
        self.forward_and_divergence = torch.compile(self.forward_and_divergence)  # type: ignore[method-assign]
