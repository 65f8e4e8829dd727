"""The fixed orthogonal maps that follow coupling blocks."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, final

import torch
from torch import Tensor
from torch.autograd.function import Function

__all__ = ["Permutation", "draw_rotations", "orthogonalise", "reflect"]

Permutation: TypeAlias = Literal["auto", "aligned", "hartley", "soft", "hard"]

_DENSE = 256  # the dimension up to which "auto" takes matrices


def draw_rotations(dim: int, blocks: int, permutation: Permutation) -> list[Tensor]:
    """Draw the map after each block: a matrix ``(D, D)``, or signs ``(D,)`` for `reflect`.

    They are float64.
    """
    if permutation == "auto":
        permutation = "aligned" if dim <= _DENSE else "hartley"
    if permutation == "hard":
        return [_random_permutation(dim) for _ in range(blocks)]
    if permutation == "hartley":
        signs = 2.0 * torch.randint(2, (blocks, dim)).double() - 1
        signs[-1] = signs[:-1].prod(dim=0)  # so that the product of all maps is the identity
        return list(signs)
    rotations = [_random_rotation(dim) for _ in range(blocks)]
    if permutation == "aligned":
        product = torch.eye(dim, dtype=torch.float64)
        for rotation in rotations[:-1]:
            product = rotation @ product
        rotations[-1] = product.T
    return rotations


def reflect(x: Tensor, signs: Tensor) -> Tensor:
    """``H diag(s) H x`` of each row of ``(..., N, D)``, H the discrete Hartley transform.

    H is orthogonal, symmetric and its own inverse, and so is this map for signs s, ``(..., D)``.
    It takes ``D log D`` operations.

    References:
        Bracewell (1983), *Discrete Hartley transform*. Ailon, Chazelle (2009), *The fast
        Johnson-Lindenstrauss transform*, for random signs before such a transform.
    """
    reflected: Tensor = _Reflect.apply(x, signs)  # type: ignore[no-untyped-call]
    return reflected


@final
class _Reflect(Function):
    """The map is symmetric, so a gradient passes through it as a row does."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, signs: Tensor) -> Tensor:
        return _hartley(_hartley(x) * signs.unsqueeze(-2))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        return reflect(gradient, *ctx.saved_tensors), None


def _hartley(x: Tensor) -> Tensor:
    """``Σ_j x_j (cos(2πjk/D) + sin(2πjk/D)) / √D`` for k = 0 … D - 1."""
    if not x.numel():
        return x
    spectrum = torch.fft.rfft(x, norm="ortho")
    even, odd = spectrum.real, spectrum.imag
    mirrored = (even + odd)[..., 1 : (x.shape[-1] + 1) // 2]
    return torch.cat([even - odd, mirrored.flip(-1)], dim=-1)


def orthogonalise(rotation: Tensor) -> Tensor:
    """The orthogonal matrix nearest to one that is so up to rounding, ``(..., D, D)``."""
    for _ in range(2):  # Newton-Schulz steps
        rotation = 1.5 * rotation - 0.5 * rotation @ (rotation.mT @ rotation)
    return rotation


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
