"""Coupling flow of all-in-one blocks: affine coupling, global affine, fixed permutation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import ClassVar, cast, final, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from compactflow.backbones.blocks import CouplingBlock
from compactflow.backbones.folded import FoldedBlock, FoldedChain
from compactflow.backbones.reversible import Encode, EncodeVjp, Recode
from compactflow.backbones.rotations import Permutation, draw_rotations
from compactflow.backbones.subnets import Activation
from compactflow.backbones.totals import TotallingBackbone
from compactflow.backbones.transforms import Affine, TransformName, make_transform

__all__ = ["Coupling"]


@final
class Coupling(TotallingBackbone):
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
        context: Features of the context, which each subnet sees beside x1.

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
        context: int = 0,
    ) -> None:
        super().__init__(dim, context)
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
            CouplingBlock(dim, width, activation, channels, horizon, rotation, context)
            for rotation in draw_rotations(dim, blocks, permutation)
        )

    def forward(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        for block in self._blocks():
            x, _ = block(x, context)
        return x

    def inverse(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``, analytically; `start` is ignored."""
        for block in reversed(self._blocks()):
            z = block.inverse(z, context)
        return z

    def recode(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Decode latents ``(N, D)`` and encode the result, at the cost of the decoding alone.

        A block's activations serve its inverse and its gradient alike, in the backward pass: see
        `compactflow.backbones.reversible.Recode`. `start` is ignored.
        """
        vjp = partial(self._vjp, context)
        latents: Tensor = Recode.apply(z.detach(), vjp, *self.parameters())  # type: ignore[no-untyped-call]
        return latents

    @torch.no_grad()
    def prepared(self) -> Callable[[Tensor], Tensor]:
        """See `Backbone.prepared`; here the affine maps around each subnet are multiplied out."""
        folded = [block.folded() for block in self._blocks()]
        return self if None in folded else FoldedChain(cast("list[FoldedBlock]", folded))

    def compile_passes(self) -> None:
        """See `Backbone.compile_passes`; here the inverse and the gradient of `recode` too."""
        super().compile_passes()
        self.inverse = torch.compile(self.inverse)  # type: ignore[method-assign]
        self._vjp = torch.compile(self._vjp)  # type: ignore[method-assign]

    def _vjp(self, context: Tensor | None, z: Tensor, gradient: Tensor) -> list[Tensor]:
        """What a gradient at latents ``(N, D)`` is for each of the parameters, in their order."""
        gradients: list[Tensor] = []
        blocks = self._blocks()
        for block in reversed(blocks):
            z, gradient, own = block.vjp(z, gradient, context, wanted=block is not blocks[0])
            gradients = own + gradients
        return gradients

    def forward_and_total(
        self,
        x: Tensor,
        context: Tensor | None,
        sigma: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `TotallingBackbone.forward_and_total`.

        An estimate is made in each block, on the channels that move: these do so one by one, so
        that each needs a random sign of its own only, and an affine map needs none.
        """
        plain = torch.compiler.is_compiling() or not torch.is_grad_enabled()
        transform = self._blocks()[0].transform
        if not plain and isinstance(transform, Affine) and not transform.preserve_volume:
            z, total = Encode.apply(x, partial(self._trace, context), *self.parameters())  # type: ignore[no-untyped-call]
            return z, total
        total = x.new_zeros(x.shape[:-1])
        for block in self._blocks():
            x, spread = block(x, context, sigma, generator)
            total = total + spread.sum(dim=-1) + block.global_scale().log().sum(dim=-1)
        return x, total

    def _trace(self, context: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor, EncodeVjp]:
        """Latents and log-dets of affine couplings, and their gradients by hand."""
        blocks = self._blocks()
        raw = torch.stack([block.scale for block in blocks])
        scales = 0.2 * softplus(raw / 2).unsqueeze(-2)
        log_slopes, vjps = [], []
        for block, scale in zip(blocks, scales, strict=True):
            x, log_slope, vjp = block.trace(x, scale, context)
            log_slopes.append(log_slope)
            vjps.append(vjp)
        total = torch.cat(log_slopes, dim=-1).sum(dim=-1) + scales.log().sum(dim=(0, -1))

        def whole(grad_z: Tensor, grad_total: Tensor, wanted: bool) -> list[Tensor]:
            own: list[list[Tensor]] = []
            for i, vjp in reversed(list(enumerate(vjps))):
                grad_z, gradients = vjp(grad_z, grad_total.unsqueeze(-1), wanted or i > 0)
                own.insert(0, gradients)
            of_scales = torch.stack([gradients[0] for gradients in own])
            of_scales += grad_total.sum(dim=-1, keepdim=True) / scales.squeeze(-2)
            of_scales *= 0.1 * torch.sigmoid(raw / 2)
            for of_scale, gradients in zip(of_scales, own, strict=True):
                gradients[0] = of_scale
            return [grad_z, *chain.from_iterable(own)]

        return x, total, whole

    def _blocks(self) -> list[CouplingBlock]:
        return cast("list[CouplingBlock]", list(self.blocks))
