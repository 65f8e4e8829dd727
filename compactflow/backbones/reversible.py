"""Gradients by hand, of fewer and larger operations than a graph of torch has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, final

from torch import Tensor
from torch.autograd.function import Function, once_differentiable

__all__ = ["Encode", "EncodeVjp", "Recode", "Vjp"]

#: A vector-Jacobian product: latents and a gradient at them, ``(N, D)`` each, to the gradients for
#: the parameters, in their order.
Vjp: TypeAlias = Callable[[Tensor, Tensor], list[Tensor]]
#: From gradients at latents ``(N, D)`` and log-dets ``(N,)``, and whether that for the data is
#: wanted, to that, or another tensor, and those for the parameters, in their order.
EncodeVjp: TypeAlias = Callable[[Tensor, Tensor, bool], list[Tensor]]


@final
class Encode(Function):
    """Latents and log-dets of data, with all gradients by hand; there are no second ones."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        trace: Callable[[Tensor], tuple[Tensor, Tensor, EncodeVjp]],
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Both for ``(N, D)``, by what makes them with their gradients from these parameters."""
        ctx.save_for_backward(*parameters)
        z, total, ctx.vjp = trace(x)
        return z, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_z: Tensor, grad_total: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Gradients for the data, if they are wanted, and the parameters."""
        _ = ctx.saved_tensors  # torch checks that they are as they were
        wanted = ctx.needs_input_grad[0]
        grad_x, *gradients = ctx.vjp(grad_z, grad_total, wanted)
        return grad_x if wanted else None, None, *gradients


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
