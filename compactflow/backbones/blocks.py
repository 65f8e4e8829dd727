"""One block of a coupling flow: a coupling, a global affine map, a fixed rotation."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import TYPE_CHECKING, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from compactflow.backbones.channels import ChannelTransform
from compactflow.backbones.folded import FoldedBlock, affine
from compactflow.backbones.rotations import orthogonalise, reflect
from compactflow.backbones.subnets import Activation, Constant, Subnet
from compactflow.backbones.transforms import Affine

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BlockVjp", "CouplingBlock"]

#: From the gradient at the block's image, ``(N, D)``, that at each log-slope of a row, ``(N, 1)``,
#: and whether that at its input is wanted, to the latter and those for Ψ and the other parameters.
BlockVjp: TypeAlias = Callable[[Tensor, Tensor, bool], tuple[Tensor, list[Tensor]]]

_UNIT = 0.1  # of what a subnet gives

# Psi(g) = 0.2 log(1 + exp(g / 2)) is 1 here, so a fresh block does not scale.
_UNIT_SCALE = 2.0 * log(exp(5.0) - 1.0)


@final
class CouplingBlock(nn.Module):
    """Creates one block, or M of them side by side: see `Coupling`."""

    rotation: Tensor  # (D, D), or signs (D,)

    def __init__(
        self,
        dim: int,
        width: int,
        activation: Activation,
        transform: ChannelTransform,
        horizon: float | None,
        rotation: Tensor,
        context: int,
    ) -> None:
        super().__init__()
        self.passive = (dim + 1) // 2 if dim > 1 else 0
        self.context = context
        self.transform = transform
        outputs = (dim - self.passive) * transform.size
        self.subnet = (
            Subnet(self.passive + context, width, outputs, activation=activation, horizon=horizon)
            if self.passive + context
            else Constant(outputs)
        )
        self.scale = nn.Parameter(torch.full((dim,), _UNIT_SCALE))
        self.shift = nn.Parameter(torch.zeros(dim))
        self.register_buffer("rotation", rotation.to(self.shift.dtype))
        self.reflects = rotation.ndim == 1

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.rotation.dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.rotation.dtype != before and not self.reflects:
            # A cast to a wider type keeps the narrow type's rounding, and the transpose would no
            # longer be the inverse.
            self.rotation = orthogonalise(self.rotation)
        return self

    def _predict(
        self, passive: Tensor, context: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the subnet predicts for the active channels, ``(N, size, D - passive)``."""
        seen = passive if context is None else torch.cat([passive, context], dim=-1)
        outputs, kept = self.subnet.evaluate(seen, _UNIT)
        size = self.transform.size  # given both, as an empty batch leaves nothing to infer
        return outputs.view(*passive.shape[:-1], size, outputs.shape[-1] // size), kept

    def global_scale(self) -> Tensor:
        """Ψ(g), ``(1, D)``."""
        return 0.2 * softplus(self.scale / 2).unsqueeze(-2)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        sigma: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Map ``(N, D)`` to ``(N, D)``, with the coupling's log-slopes or its divergence."""
        x1, x2 = self._split(x)
        parameters, _ = self._predict(x1, context)
        u2, spread = self.transform.forward_and_spread(x2, parameters, sigma, generator)
        u = torch.cat([x1, u2], dim=-1)
        v = torch.addcmul(self.shift.unsqueeze(-2), u, self.global_scale())
        return self._rotate(v), spread

    def inverse(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Undo `forward`, ``(N, D)``."""
        x1, u2 = self._split(self._undo_affine(self._rotate_back(y), self.global_scale()))
        return torch.cat([x1, self.transform.inverse(u2, self._predict(x1, context)[0])], dim=-1)

    @torch.no_grad()
    def vjp(
        self, y: Tensor, gradient: Tensor, context: Tensor | None = None, *, wanted: bool = True
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The inverse of y, and what a gradient at y is there and for each of the parameters.

        Args:
            y: What the block gives, ``(N, D)``.
            gradient: At y, ``(N, D)``.
            context: Of the rows, ``(N, C)``, if there is one.
            wanted: Whether the gradient at the inverse is; else it is empty.
        """
        scale = self.global_scale()
        u = self._undo_affine(self._rotate_back(y), scale)
        x1, u2 = self._split(u)
        parameters, kept = self._predict(x1, context)
        gradient = self._rotate_back(gradient) * scale
        grad_scale, grad_shift = self._affine_vjp(u, scale, gradient)
        first, second = self._split(gradient)
        x2, grad_x2, grad_parameters = self.transform.vjp(u2, parameters, second)
        grad_predicted = _UNIT * grad_parameters.flatten(-2)
        grad_x1, grad_subnet = self.subnet.vjp(kept, grad_predicted, wanted=wanted)
        grad_x = gradient[:0]
        if wanted:
            grad_x = torch.cat([first + grad_x1[..., : self.passive], grad_x2], dim=-1)
        grad_scale = grad_scale * 0.1 * torch.sigmoid(self.scale / 2)
        return torch.cat([x1, x2], dim=-1), grad_x, [grad_scale, grad_shift, *grad_subnet]

    def trace(
        self, x: Tensor, scale: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor, BlockVjp]:
        """As `forward` of an affine coupling, with its log-slopes, and its gradients by hand.

        Args:
            x: ``(N, D)``.
            scale: Ψ(g), ``(1, D)``, whose gradient is given in place of that for g.
            context: Of the rows, ``(N, C)``, if there is one.
        """
        assert isinstance(self.transform, Affine)
        x1, x2 = self._split(x)
        parameters, kept = self._predict(x1, context)
        u = torch.empty_like(x, memory_format=torch.contiguous_format)
        u1, u2 = self._split(u)
        u1.copy_(x1)
        log_slope, moved_vjp = self.transform.trace(x2, parameters, u2)
        if self.reflects:
            y = self._rotate(torch.addcmul(self.shift.unsqueeze(-2), u, scale))
        else:
            leave = scale.mT * self.rotation.mT
            y = affine(u, leave, self.shift.unsqueeze(-2) @ self.rotation.mT)

        def vjp(gradient: Tensor, grad_total: Tensor, wanted: bool) -> tuple[Tensor, list[Tensor]]:
            if self.reflects:
                gradient = self._rotate_back(gradient) * scale
            else:
                gradient = gradient @ leave.mT
            grad_affine = self._affine_vjp(u, scale, gradient)
            first, second = self._split(gradient)
            grad_parameters = moved_vjp(second, grad_total, _UNIT)
            grad_x1, grad_subnet = self.subnet.vjp(kept, grad_parameters, wanted=wanted)
            if wanted:
                first += grad_x1[..., : self.passive]
            return gradient, [*grad_affine, *grad_subnet]

        return y, log_slope, vjp

    def folded(self) -> FoldedBlock | None:
        """The block as matrices, if it has that form."""
        if self.reflects or self.context or not isinstance(self.subnet, Subnet):
            return None
        if self.subnet.horizon:
            return None
        enter, lift, *layer = self.subnet.folded()
        predict, bias, move = self.transform.folded(*(_UNIT * part for part in layer))
        return FoldedBlock(
            enter=enter,
            lift=lift,
            smooth=self.subnet.smooth,
            predict=predict,
            bias=bias,
            move=move,
            leave=self.global_scale().mT * self.rotation.mT,
            shift=(self.shift.unsqueeze(-2) @ self.rotation.mT).squeeze(-2),
        )

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1, x2 = x.tensor_split((self.passive,), dim=-1)
        return x1, x2

    def _rotate(self, v: Tensor) -> Tensor:
        return reflect(v, self.rotation) if self.reflects else v @ self.rotation.mT

    def _rotate_back(self, y: Tensor) -> Tensor:
        return reflect(y, self.rotation) if self.reflects else y @ self.rotation

    def _undo_affine(self, v: Tensor, scale: Tensor) -> Tensor:
        return (v - self.shift.unsqueeze(-2)) / scale

    def _affine_vjp(self, u: Tensor, scale: Tensor, gradient: Tensor) -> list[Tensor]:
        """What a gradient at u, the rows before ``u Ψ + b``, is at Ψ and at b."""
        once = scale.squeeze(-2)
        return [(gradient * u).sum(dim=-2) / once, gradient.sum(dim=-2) / once]
