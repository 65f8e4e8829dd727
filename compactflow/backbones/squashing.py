"""Functions that tame large values."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["soft_clamp", "squash"]


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
