"""Rows beyond all measure, drawn in so that nothing that sees them overflows."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

__all__ = ["draw_in", "draw_out", "log_slope"]

# Where it begins. The square of what is left of the largest number in float64, stretched by a
# network and summed over the features, is still a number in float32.
_REACH = 1e9


def draw_in(y: Tensor) -> Tensor:
    """Rows ``(..., N, D)`` with those shortened whose largest value m is beyond c = 1e9.

    These end at ``c (1 + log(m / c))`` in place of m. They keep their direction, and of two rows
    in one direction the further one stays further.
    """
    beyond = _beyond(y)
    return y * ((1 + beyond.log()) / beyond)


def draw_out(y: Tensor) -> Tensor:
    """Undo `draw_in`, up to the largest number, ``(..., N, D)``."""
    beyond = _beyond(y)
    most = log(torch.finfo(y.dtype).max / _REACH) - 1
    return y / beyond * (beyond - 1).clamp(max=most).exp()


def log_slope(y: Tensor) -> Tensor:
    """``log |det|`` of the Jacobian of `draw_in` at rows ``(N, D)``, ``(N,)``."""
    stretch = _beyond(y)[:, 0].log()
    return (y.shape[1] - 1) * torch.log1p(stretch) - y.shape[1] * stretch


def _beyond(y: Tensor) -> Tensor:
    """``m / c`` of each row, at least 1 and finite, ``(..., 1)``."""
    largest = y.abs().amax(dim=-1, keepdim=True)
    return (largest / _REACH).clamp(1, torch.finfo(y.dtype).max / _REACH)
