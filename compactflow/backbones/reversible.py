"""Gradients by hand for maps whose inverse gives the activations back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, final

from torch import Tensor
from torch.autograd.function import Function, once_differentiable

__all__ = ["Recode", "Vjp"]

#: A vector-Jacobian product: latents and a gradient at them, ``(N, D)`` each, to the gradients for
#: the parameters, in their order.
Vjp: TypeAlias = Callable[[Tensor, Tensor], list[Tensor]]


@final
class Recode(Function):
    """The identity on latents, whose gradient for the parameters is that of encoding.

    Nothing is computed until the backward pass. That decodes and differentiates at once, so that
    no activation has to be kept.

    References:
        Gomez, Ren, Urtasun, Grosse (2017), *The reversible residual network*.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, vjp: Vjp, *parameters: Tensor) -> Tensor:  # noqa: ANN401
        """The latents ``(N, D)``; `parameters` are those of the map."""
        ctx.save_for_backward(z)
        ctx.vjp = vjp
        return z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Gradients for the parameters; the latents get none."""
        return None, None, *ctx.vjp(*ctx.saved_tensors, gradient)
