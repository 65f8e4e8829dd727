"""Invertible maps of single channels, whose parameters a network predicts."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import ClassVar, Literal, TypeAlias, final, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from compactflow.backbones.channels import ChannelTransform, Folded
from compactflow.backbones.squashing import soft_clamp

__all__ = [
    "Additive",
    "Affine",
    "Spline",
    "TransformName",
    "make_transform",
]

TransformName: TypeAlias = Literal["affine", "additive", "volume-preserving", "spline"]

# A spline's bins and slopes are at least this share of an even knot spacing and of slope 1, which
# bounds how far one bin can stretch and so the round-trip error.
_LEAST = 1e-2


@final
class Affine(ChannelTransform):
    """Creates the map ``y = x exp(α tanh(s/α)) + t``.

    Args:
        clamp: α, the bound on the log-scale.
        preserve_volume: Subtract the channels' mean from the log-scales, so that their product
            is 1 in every row.

    References:
        Dinh, Sohl-Dickstein, Bengio (2017), *Density estimation using Real NVP*. Sorrenson,
        Rother, Köthe (2020), *Disentanglement by nonlinear ICA with general incompressible-flow
        networks (GIN)*, for preserving volume.
    """

    size = 2

    def __init__(self, clamp: float, *, preserve_volume: bool = False) -> None:
        self.clamp = clamp
        self.preserve_volume = preserve_volume

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(N, C)`` to y, with the log-scale, ``(N, C)`` each."""
        log_scale, shift = self._split(parameters)
        return torch.addcmul(shift, x, log_scale.exp()), log_scale

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """Undo `forward`, ``(N, C)``."""
        log_scale, shift = self._split(parameters)
        return (y - shift) * (-log_scale).exp()

    def vjp(
        self, y: Tensor, parameters: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The inverse x of y, ``(N, C)``, and what a gradient at y is at x and the parameters."""
        if self.preserve_volume:
            return super().vjp(y, parameters, gradient)
        log_scale, shift = self._split(parameters)
        stretched, scale = y - shift, log_scale.exp()
        slope = 1 - (log_scale / self.clamp).square()
        grad_parameters = torch.stack([gradient * stretched * slope, gradient], dim=-2)
        return stretched / scale, gradient * scale, grad_parameters

    def trace(
        self, x: Tensor, parameters: Tensor, y: Tensor
    ) -> tuple[Tensor, Callable[[Tensor, Tensor, float], Tensor]]:
        """As `forward`, into y, with the log-scales and gradients, if it changes the volume.

        The latter from those at y, ``(N, C)``, which are changed in place to those at x, from
        those at each log-scale of a row, ``(N, 1)``, and a unit, to those at the parameters in
        turn, ``(N, size C)``, times the unit.
        """
        log_scale, shift = self._split(parameters)
        scale = log_scale.exp()
        torch.addcmul(shift, x, scale, out=y)

        def vjp(gradient: Tensor, grad_log_scale: Tensor, unit: float) -> Tensor:
            grad_parameters = torch.empty_like(parameters)
            of_raw, of_shift = grad_parameters.unbind(dim=-2)
            torch.mul(gradient, unit, out=of_shift)
            gradient *= scale
            grad_log = torch.addcmul(unit * grad_log_scale, gradient, x, value=unit)
            slope = log_scale.square()
            torch.addcmul(grad_log, grad_log, slope, value=-1 / self.clamp**2, out=of_raw)
            return grad_parameters.flatten(-2)

        return log_scale, vjp

    def folded(self, predict: Tensor, bias: Tensor) -> Folded:
        """See `ChannelTransform.folded`; ``exp(α tanh(s/α))`` is ``exp(α - 2α σ(-2s/α))``."""
        if self.preserve_volume:
            return super().folded(predict, bias)
        factor = torch.full_like(bias, -2 / self.clamp)
        factor.chunk(2, dim=-1)[1].fill_(1)

        def move(x: Tensor, predicted: Tensor) -> None:
            log_scale, shift = predicted.chunk(2, dim=-1)
            scale = log_scale.sigmoid_().mul_(-2 * self.clamp).exp_()
            torch.addcmul(shift, x, scale, value=exp(self.clamp), out=x)

        return predict * factor.unsqueeze(-2), bias * factor, move

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift, ``(N, C)`` each."""
        raw, shift = parameters.unbind(dim=-2)
        s = soft_clamp(raw, self.clamp)
        return (s - s.mean(dim=-1, keepdim=True) if self.preserve_volume else s), shift


@final
class Additive(ChannelTransform):
    """Creates the map ``y = x + t``.

    References:
        Dinh, Krueger, Bengio (2015), *NICE: Non-linear independent components estimation*.
    """

    size = 1

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(N, C)`` to y, with 0, ``(N, C)`` each."""
        return x + parameters[..., 0, :], torch.zeros_like(x)

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """Undo `forward`, ``(N, C)``."""
        return y - parameters[..., 0, :]


@final
class Spline(ChannelTransform):
    """Creates a monotone rational-quadratic spline on ``[-b, b]``, followed by an affine map.

    Outside the interval the spline is the identity, with slope 1 at its ends, so far values still
    move with the affine map.

    Args:
        clamp: Bound on the affine map's log-scale.
        bins: Number of bins K.
        bound: b, in units of the input.

    References:
        Durkan, Bekasov, Murray, Papamakarios (2019), *Neural spline flows*, eq. 4-8.
    """

    is_affine: ClassVar[bool] = False

    def __init__(self, clamp: float, *, bins: int = 8, bound: float = 3.0) -> None:
        self.affine = Affine(clamp)
        self.bins = bins
        self.bound = bound
        self.size = 2 + 3 * bins - 1

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(N, C)`` to y, with ``log ∂y/∂x``, ``(N, C)`` each."""
        x0, y0, width, height, d0, d1, inside = self._bin(x, parameters, on="x")
        s, t = height / width, ((x - x0) / width).clamp(0, 1)
        u = t * (1 - t)
        scale = s + (d0 + d1 - 2 * s) * u
        y = y0 + height * (s * t * t + d0 * u) / scale
        slope = (d1 * t * t + 2 * s * u + d0 * (1 - t) ** 2) * (s / scale) ** 2
        y, log_scale = self.affine.forward(torch.where(inside, y, x), parameters[..., :2, :])
        return y, torch.where(inside, slope, torch.ones_like(x)).log() + log_scale

    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """Undo `forward`, ``(N, C)``."""
        y = self.affine.inverse(y, parameters[..., :2, :])
        x0, y0, width, height, d0, d1, inside = self._bin(y, parameters, on="y")
        s, v = height / width, ((y - y0) / height).clamp(0, 1)
        # The root in [0, 1] of a t² + b t + c = 0, in the form that does not cancel.
        k = v * (d0 + d1 - 2 * s)
        a, b, c = s - d0 + k, d0 - k, -s * v
        t = 2 * c / (-b - (b * b - 4 * a * c).clamp_min(0).sqrt())
        return torch.where(inside, x0 + width * t, y)

    def _bin(
        self, value: Tensor, parameters: Tensor, *, on: Literal["x", "y"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The bin of each value: its corner, size and end slopes, and whether it is in one."""
        widths, heights, slopes = parameters[..., 2:, :].mT.tensor_split(
            (self.bins, 2 * self.bins), dim=-1
        )
        x, y = self._knots(widths), self._knots(heights)
        # softplus(0 + this) = 1, so that with parameters 0 every slope is 1.
        inner = _LEAST + (1 - _LEAST) * softplus(slopes + log(torch.e - 1))
        d = pad(inner, (1, 1), value=1.0)
        knots = x if on == "x" else y
        index = (value.unsqueeze(-1) >= knots[..., 1:-1]).sum(dim=-1, keepdim=True)

        def at(table: Tensor, offset: int) -> Tensor:
            return table.gather(-1, index + offset).squeeze(-1)

        x0, y0 = at(x, 0), at(y, 0)
        inside = value.abs() < self.bound
        return x0, y0, at(x, 1) - x0, at(y, 1) - y0, at(d, 0), at(d, 1), inside

    def _knots(self, logits: Tensor) -> Tensor:
        """Increasing knots from -b to b, ``(N, C, K + 1)``."""
        share = _LEAST / self.bins + (1 - _LEAST) * logits.softmax(dim=-1)
        inner = 2 * self.bound * share[..., :-1].cumsum(dim=-1) - self.bound
        return torch.cat(
            [
                torch.full_like(inner[..., :1], -self.bound),
                inner,
                torch.full_like(inner[..., :1], self.bound),
            ],
            dim=-1,
        )


def make_transform(
    name: TransformName, *, clamp: float, bins: int, bound: float
) -> ChannelTransform:
    """The transform of a name.

    Raises:
        ValueError: If the name is unknown or an argument is out of range.
    """
    if not clamp > 0:
        raise ValueError(f"clamp must be positive, got {clamp}")
    if bins < 2:
        raise ValueError(f"bins must be at least 2, got {bins}")
    if not bound > 0:
        raise ValueError(f"bound must be positive, got {bound}")
    if name == "affine":
        return Affine(clamp)
    if name == "additive":
        return Additive()
    if name == "volume-preserving":
        return Affine(clamp, preserve_volume=True)
    if name == "spline":
        return Spline(clamp, bins=bins, bound=bound)
    names = ", ".join(get_args(TransformName))
    raise ValueError(f"transform must be one of {names}, got {name!r}")
