"""Functions that tame large values."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

__all__ = ["Squash", "soft_clamp", "squash"]


def soft_clamp(x: Tensor, bound: float) -> Tensor:
    """``α tanh(x / α)`` with α the bound: x where it is small, and never beyond ±α."""
    if x.device.type != "cpu":
        return bound * torch.tanh(x / bound)
    # The same by the logistic function, whose kernel on the CPU takes a fifth of the time.
    return torch.rsub((x * (-2 / bound)).sigmoid_(), bound, alpha=2 * bound)


def squash(x: Tensor, horizon: float) -> Tensor:
    """``c asinh(x / c)`` with c the horizon, which tames values that are far."""
    # `torch.asinh` is not vectorised; on |x| the logarithm does not cancel, and hypot does not
    # overflow.
    sign = torch.copysign(x.new_full((), horizon), x.detach())
    r = x / sign
    return sign * (r + torch.hypot(r, r.new_ones(()))).log()


@final
class Squash(nn.Module):
    """Creates the layer that squashes what a network sees.

    Args:
        horizon: c, where the network sees ``c asinh(x / c)``, positive.

    Raises:
        ValueError: If `horizon` is not positive.
    """

    def __init__(self, horizon: float) -> None:
        super().__init__()
        if not horizon > 0:
            raise ValueError(f"horizon must be positive, got {horizon}")
        self.horizon = horizon

    def forward(self, x: Tensor) -> Tensor:
        """Squash values of any shape."""
        return squash(x, self.horizon)
