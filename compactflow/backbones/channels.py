"""The interface of invertible maps of single channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

__all__ = ["ChannelTransform", "Folded"]

#: A layer's matrix and bias, and what moves values by what it gives.
Folded: TypeAlias = tuple[Tensor, Tensor, Callable[[Tensor, Tensor], object]]


class ChannelTransform(ABC):
    """An increasing map of each channel, given `size` parameters per channel.

    With all parameters 0 it is the identity. Shapes: values ``(..., N, C)``, parameters
    ``(..., N, size, C)``; below, N stands for ``..., N``.
    """

    size: int
    is_affine: ClassVar[bool] = True

    @abstractmethod
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(N, C)`` to y, ``(N, C)``, with ``log ∂y/∂x`` of each channel, ``(N, C)``."""

    @abstractmethod
    def inverse(self, y: Tensor, parameters: Tensor) -> Tensor:
        """Undo `forward`, ``(N, C)``."""

    def forward_and_spread(
        self,
        x: Tensor,
        parameters: Tensor,
        sigma: float | None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Map ``(N, C)`` to y; with the log-slopes, or for a σ Stein's estimate, ``(N, C)`` each.

        The estimate is ``ε (y⁺ - y)/σ``, with ε a random sign and ``y⁺`` the image of
        ``x + sg(F⁻¹(y + σε) - x)``. In the mean its gradient is that of the log-slope, averaged
        over ``[y - σ, y + σ]``. If F is affine, of log-slope s, it is ``exp(s - sg s)`` whatever
        ε may be, and s has the same gradient.
        """
        y, log_slope = self.forward(x, parameters)
        if sigma is None or self.is_affine:
            return y, log_slope
        with torch.no_grad():
            offset = (
                torch.empty_like(y).bernoulli_(generator=generator).mul_(2 * sigma).sub_(sigma)
            )
            step = self.inverse(y + offset, parameters) - x
        return y, offset * (self.forward(x + step, parameters)[0] - y) / sigma**2

    def vjp(
        self, y: Tensor, parameters: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The inverse x of y, ``(N, C)``, and what a gradient at y is at x and the parameters."""
        x = self.inverse(y, parameters)
        with torch.enable_grad():
            inputs = x.detach().requires_grad_(), parameters.detach().requires_grad_()
            y, _ = self.forward(*inputs)
        grad_x, grad_parameters = torch.autograd.grad(y, inputs, gradient)
        return x, grad_x, grad_parameters

    def folded(self, predict: Tensor, bias: Tensor) -> Folded:
        """The layer that predicts the parameters, and what moves values by what it predicts.

        A transform may move constants of its own into the layer.

        Args:
            predict: Maps the inputs of the layer to the parameters, ``(..., W, size C)``.
            bias: Added to these, ``(..., size C)``.

        Returns:
            Another such matrix and bias, and a function of values ``(N, C)``, which it changes in
            place, and of what these give, ``(N, size C)``, of which it may make other use.
        """

        def move(x: Tensor, predicted: Tensor) -> None:
            parameters = predicted.view(*x.shape[:-1], self.size, x.shape[-1])
            x.copy_(self.forward(x, parameters)[0])

        return predict, bias, move
