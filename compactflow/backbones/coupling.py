"""Coupling flow of all-in-one blocks: affine coupling, global affine, fixed permutation."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import TYPE_CHECKING, ClassVar, cast, final, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from compactflow.backbones.base import Backbone
from compactflow.backbones.folded import FoldedBlock, FoldedChain
from compactflow.backbones.reversible import Recode
from compactflow.backbones.rotations import (
    Permutation,
    draw_rotations,
    orthogonalise,
    reflect,
)
from compactflow.backbones.subnets import Activation, Constant, Subnet
from compactflow.backbones.transforms import ChannelTransform, TransformName, make_transform

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Coupling"]

# Psi(g) = 0.2 log(1 + exp(g / 2)) is 1 here, so a fresh block does not scale.
_UNIT_SCALE = 2.0 * log(exp(5.0) - 1.0)


@final
class Coupling(Backbone):
    """Creates a coupling flow with an analytic inverse and log-det.

    It is parallel: all below holds with M networks side by side, of parameters ``(M, ...)``, for
    rows ``(M, N, D)`` in place of ``(N, D)``.

    One block maps ``x = (x1, x2)``, ``x1`` the first ⌈D/2⌉ channels, by

    ``(s, t) = 0.1 subnet(x1)``, ``u = (x1, x2 exp(α tanh(s/α)) + t)``,
    ``v = u Ψ(g) + b`` with ``Ψ(g) = 0.2 log(1 + exp(g/2))``, and then a fixed permutation of v.

    Args:
        dim: The dimension D. With D = 1 there is no channel to condition on, and the transform's
            parameters are free: only a spline is then more than affine.
        transform: What a block does to x2: ``"affine"``, as above; ``"additive"``, with s = 0;
            ``"volume-preserving"``, with the s of a row summing to 0, so that the log-det does
            not depend on x; ``"spline"``, a rational-quadratic spline before the affine map.
        blocks: Number of blocks.
        width: Units of each subnet's one hidden layer.
        activation: Of those units: ``"tanh"``, which is smooth and flat for far inputs, or
            ``"relu"``.
        clamp: α, the bound on a block's log-scale.
        bins: Bins of a spline, at least 2.
        bound: A spline acts on ``[-bound, bound]``, in units of the backbone's input.
        permutation: What follows each block: ``"soft"``, a random rotation out of SO(D);
            ``"hard"``, a random permutation of channels; ``"aligned"``, random rotations whose
            product is the identity, so that the latent's axes start as the data's and a support
            with corners keeps its meaning; ``"hartley"``, the same with reflections that are
            Fourier transforms, of ``D log D`` operations and D numbers in place of D²;
            ``"auto"``, that beyond 256 features and ``"aligned"`` up to there.
        horizon: c, in units of the backbone's input: the subnet sees ``c asinh(x1 / c)``. That
            tames far inputs, whose round trip a ``"relu"`` would else spoil. ``None`` lets it see
            x1.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*. Ardizzone et al. (2018-2022), *FrEIA*, AllInOneBlock. Dinh,
        Sohl-Dickstein, Bengio (2017), *Density estimation using Real NVP*.

    Examples:
        >>> import torch
        >>> backbone = Coupling(3, blocks=2, width=16)
        >>> x = torch.randn(5, 3, dtype=torch.float64)
        >>> z = backbone.double()(x)
        >>> bool(torch.allclose(backbone.inverse(z), x))
        True
    """

    parallel: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        *,
        transform: TransformName = "affine",
        blocks: int = 12,
        width: int = 128,
        activation: Activation = "tanh",
        clamp: float = 2.0,
        bins: int = 8,
        bound: float = 3.0,
        permutation: Permutation = "auto",
        horizon: float | None = None,
    ) -> None:
        super().__init__(dim)
        if blocks < 1 or width < 1:
            raise ValueError(f"blocks and width must be at least 1, got {blocks} and {width}")
        if horizon is not None and not horizon > 0:
            raise ValueError(f"horizon must be positive, got {horizon}")
        if permutation not in get_args(Permutation):
            raise ValueError(
                f"permutation must be one of {', '.join(get_args(Permutation))}, "
                f"got {permutation!r}"
            )
        if activation not in get_args(Activation):
            raise ValueError(
                f"activation must be one of {', '.join(get_args(Activation))}, got {activation!r}"
            )
        channels = make_transform(transform, clamp=clamp, bins=bins, bound=bound)
        self.blocks = nn.ModuleList(
            _Block(dim, width, activation, channels, horizon, rotation)
            for rotation in draw_rotations(dim, blocks, permutation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        for block in self._blocks():
            x, _ = block(x)
        return x

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``, analytically; `start` is ignored."""
        for block in reversed(self._blocks()):
            z = block.inverse(z)
        return z

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        return self.forward_and_log_abs_det(x)[1]

    def forward_and_log_abs_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        return self._forward_and_total(x)

    def forward_and_divergence(
        self, x: Tensor, sigma: float, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Latents ``(N, D)`` of data ``(N, D)`` and Stein's estimate, ``(N,)``.

        It is made in each block, on the channels that move: these do so one by one, so that each
        needs a random sign of its own only, and an affine map needs none.
        """
        return self._forward_and_total(x, sigma, generator)

    def recode(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Decode latents ``(N, D)`` and encode the result, at the cost of the decoding alone.

        A block's activations serve its inverse and its gradient alike, in the backward pass: see
        `compactflow.backbones.reversible.Recode`. `start` is ignored.
        """
        latents: Tensor = Recode.apply(z.detach(), self._vjp, *self.parameters())  # type: ignore[no-untyped-call]
        return latents

    @torch.no_grad()
    def prepared(self) -> Callable[[Tensor], Tensor]:
        """See `Backbone.prepared`; here the affine maps around each subnet are multiplied out."""
        folded = [block.folded() for block in self._blocks()]
        return self if None in folded else FoldedChain(cast("list[FoldedBlock]", folded))

    def compile_passes(self) -> None:
        """See `Backbone.compile_passes`; here the inverse and the gradient of `recode` too."""
        super().compile_passes()
        self.forward_and_divergence = torch.compile(self.forward_and_divergence)  # type: ignore[method-assign]
        self.inverse = torch.compile(self.inverse)  # type: ignore[method-assign]
        self._vjp = torch.compile(self._vjp)  # type: ignore[method-assign]

    def _vjp(self, z: Tensor, gradient: Tensor) -> list[Tensor]:
        """What a gradient at latents ``(N, D)`` is for each of the parameters, in their order."""
        gradients: list[Tensor] = []
        for block in reversed(self._blocks()):
            z, gradient, grad_block = block.vjp(z, gradient)
            gradients = grad_block + gradients
        return gradients

    def _forward_and_total(
        self, x: Tensor, sigma: float | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[:-1])
        for block in self._blocks():
            x, spread = block(x, sigma, generator)
            total = total + spread.sum(dim=-1) + block.global_scale().log().sum(dim=-1)
        return x, total

    def _blocks(self) -> list[_Block]:
        return cast("list[_Block]", list(self.blocks))


@final
class _Block(nn.Module):
    rotation: Tensor  # (D, D), or signs (D,)

    def __init__(
        self,
        dim: int,
        width: int,
        activation: Activation,
        transform: ChannelTransform,
        horizon: float | None,
        rotation: Tensor,
    ) -> None:
        super().__init__()
        self.passive = (dim + 1) // 2 if dim > 1 else 0
        self.transform = transform
        outputs = (dim - self.passive) * transform.size
        self.subnet = (
            Subnet(self.passive, width, outputs, activation=activation, horizon=horizon)
            if self.passive
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

    def _predict(self, passive: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What the subnet predicts for the active channels, ``(N, size, D - passive)``."""
        outputs, kept = self.subnet.evaluate(passive)
        size = self.transform.size  # given both, as an empty batch leaves nothing to infer
        return (0.1 * outputs).view(*passive.shape[:-1], size, outputs.shape[-1] // size), kept

    def global_scale(self) -> Tensor:
        """Ψ(g), ``(1, D)``."""
        return 0.2 * softplus(self.scale / 2).unsqueeze(-2)

    def forward(
        self, x: Tensor, sigma: float | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map ``(N, D)`` to ``(N, D)``, with the coupling's log-slopes or its divergence."""
        x1, x2 = self._split(x)
        u2, spread = self.transform.forward_and_spread(x2, self._predict(x1)[0], sigma, generator)
        u = torch.cat([x1, u2], dim=-1)
        v = torch.addcmul(self.shift.unsqueeze(-2), u, self.global_scale())
        return self._rotate(v), spread

    def inverse(self, y: Tensor) -> Tensor:
        x1, u2 = self._split(self._undo_affine(self._rotate_back(y), self.global_scale()))
        return torch.cat([x1, self.transform.inverse(u2, self._predict(x1)[0])], dim=-1)

    @torch.no_grad()
    def vjp(self, y: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The inverse of y, and what a gradient at y is there and for each of the parameters."""
        scale, gradient = self.global_scale(), self._rotate_back(gradient)
        u = self._undo_affine(self._rotate_back(y), scale)
        x1, u2 = self._split(u)
        parameters, kept = self._predict(x1)
        grad_scale = (gradient * u).sum(dim=-2) * 0.1 * torch.sigmoid(self.scale / 2)
        grad_shift = gradient.sum(dim=-2)
        first, second = self._split(gradient * scale)
        x2, grad_x2, grad_parameters = self.transform.vjp(u2, parameters, second)
        grad_x1, grad_subnet = self.subnet.vjp(kept, 0.1 * grad_parameters.flatten(-2))
        x, grad_x = torch.cat([x1, x2], dim=-1), torch.cat([first + grad_x1, grad_x2], dim=-1)
        return x, grad_x, [grad_scale, grad_shift, *grad_subnet]

    def folded(self) -> FoldedBlock | None:
        """The block as matrices, if it has that form."""
        if self.reflects or not isinstance(self.subnet, Subnet) or self.subnet.horizon:
            return None
        enter, lift, *layer = self.subnet.folded()
        predict, bias, move = self.transform.folded(*(0.1 * part for part in layer))
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
