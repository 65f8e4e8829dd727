"""Coupling flow of all-in-one blocks: affine coupling, global affine, fixed permutation."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, final, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from compactflow.backbones.base import Backbone
from compactflow.backbones.transforms import (
    ChannelTransform,
    Constant,
    TransformName,
    make_transform,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Coupling", "Permutation"]

Permutation: TypeAlias = Literal["aligned", "soft", "hard"]

# Psi(g) = 0.2 log(1 + exp(g / 2)) is 1 here, so a fresh block does not scale.
_UNIT_SCALE = 2.0 * log(exp(5.0) - 1.0)


@final
class Coupling(Backbone):
    """Creates a coupling flow with an analytic inverse and log-det.

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
        clamp: α, the bound on a block's log-scale.
        bins: Bins of a spline, at least 2.
        bound: A spline acts on ``[-bound, bound]``, in units of the backbone's input.
        permutation: What follows each block: ``"soft"``, a random rotation out of SO(D);
            ``"hard"``, a random permutation of channels; ``"aligned"``, random rotations whose
            product is the identity, so that the latent's axes start as the data's and a support
            with corners keeps its meaning.
        horizon: c, in units of the backbone's input: the subnet sees ``c asinh(x1 / c)``, which
            tames far inputs, whose round trip it would else spoil. ``None`` lets it see x1.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*. Ardizzone et al. (2018-2022), *FrEIA*, AllInOneBlock. Dinh,
        Sohl-Dickstein, Bengio (2017), *Density estimation using Real NVP*.
    """

    def __init__(
        self,
        dim: int,
        *,
        transform: TransformName = "affine",
        blocks: int = 12,
        width: int = 128,
        clamp: float = 2.0,
        bins: int = 8,
        bound: float = 3.0,
        permutation: Permutation = "aligned",
        horizon: float | None = 1.0,
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
        channels = make_transform(transform, clamp=clamp, bins=bins, bound=bound)
        self.blocks = nn.ModuleList(
            _Block(dim, width, channels, horizon, rotation)
            for rotation in _rotations(dim, blocks, permutation)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        for block in self._blocks():
            x = block(x)
        return x

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``, analytically; `start` is ignored."""
        for block in reversed(self._blocks()):
            z = block.inverse(z)
        return z

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        total = x.new_zeros(len(x))
        for block in self._blocks():
            total = total + block.log_abs_det(x)
            x = block(x)
        return total

    def _blocks(self) -> list[_Block]:
        return cast("list[_Block]", list(self.blocks))


@final
class _Block(nn.Module):
    rotation: Tensor

    def __init__(
        self,
        dim: int,
        width: int,
        transform: ChannelTransform,
        horizon: float | None,
        rotation: Tensor,
    ) -> None:
        super().__init__()
        self.passive = (dim + 1) // 2 if dim > 1 else 0
        self.transform = transform
        self.horizon = horizon
        outputs = (dim - self.passive) * transform.size
        self.subnet = (
            nn.Sequential(nn.Linear(self.passive, width), nn.ReLU(), nn.Linear(width, outputs))
            if self.passive
            else Constant(outputs)
        )
        self.scale = nn.Parameter(torch.full((dim,), _UNIT_SCALE))
        self.shift = nn.Parameter(torch.zeros(dim))
        self.register_buffer("rotation", rotation.to(self.shift.dtype))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.rotation.dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.rotation.dtype != before:
            # A cast to a wider type keeps the narrow type's rounding, and the transpose would no
            # longer be the inverse: two Newton-Schulz steps restore orthogonality.
            for _ in range(2):
                r = self.rotation
                self.rotation = 1.5 * r - 0.5 * r @ (r.T @ r)
        return self

    def _predict(self, passive: Tensor) -> Tensor:
        """What the subnet predicts for the active channels, ``(N, D - passive, size)``."""
        if self.horizon is not None:
            passive = self.horizon * torch.asinh(passive / self.horizon)
        outputs: Tensor = 0.1 * self.subnet(passive)
        return outputs.view(len(outputs), self.transform.size, -1).transpose(1, 2)

    def _global_scale(self) -> Tensor:
        return 0.2 * softplus(self.scale / 2)

    def forward(self, x: Tensor) -> Tensor:
        x1, x2 = x[:, : self.passive], x[:, self.passive :]
        u = torch.cat([x1, self.transform.forward(x2, self._predict(x1))], dim=1)
        # The global affine and the permutation are one matrix product.
        matrix = self._global_scale().unsqueeze(1) * self.rotation.T
        return torch.addmm(self.rotation @ self.shift, u, matrix)

    def inverse(self, y: Tensor) -> Tensor:
        u = (y @ self.rotation - self.shift) / self._global_scale()
        x1, u2 = u[:, : self.passive], u[:, self.passive :]
        return torch.cat([x1, self.transform.inverse(u2, self._predict(x1))], dim=1)

    def log_abs_det(self, x: Tensor) -> Tensor:
        x1, x2 = x[:, : self.passive], x[:, self.passive :]
        log_slope = self.transform.log_slope(x2, self._predict(x1))
        return log_slope.sum(dim=1) + self._global_scale().log().sum()


def _rotations(dim: int, blocks: int, permutation: Permutation) -> list[Tensor]:
    """The fixed orthogonal map after each block, ``(D, D)`` each, float64."""
    if permutation == "hard":
        return [_random_permutation(dim) for _ in range(blocks)]
    rotations = [_random_rotation(dim) for _ in range(blocks)]
    if permutation == "aligned":
        product = torch.eye(dim, dtype=torch.float64)
        for rotation in rotations[:-1]:
            product = rotation @ product
        rotations[-1] = product.T
    return rotations


def _random_rotation(dim: int) -> Tensor:
    """A Haar-random element of SO(D), ``(D, D)``, float64."""
    q, r = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64))
    q = q * r.diagonal().sign()
    if torch.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return q


def _random_permutation(dim: int) -> Tensor:
    """A random permutation of D channels as a matrix, ``(D, D)``, float64."""
    return torch.eye(dim, dtype=torch.float64)[torch.randperm(dim)]
