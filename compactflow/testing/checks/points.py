"""Points at which the checks of a latent look: around its support, on its boundary, far away."""

from __future__ import annotations

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.testing.results import require

__all__ = ["around", "far_points", "find_crossings", "find_normals"]


def around(latent: Latent, n: int) -> Tensor:
    """Points in a box somewhat larger than the samples' own, ``(n, D)``."""
    sample = latent.sample(1000)
    low, high = sample.amin(dim=0), sample.amax(dim=0)
    return low + (high - low) * (1.6 * torch.rand(n, latent.dim).to(sample) - 0.3)


def far_points(dim: int, dtype: torch.dtype) -> Tensor:
    """Points a million units away, ``(200, dim)``."""
    return 1e6 * torch.randn(200, dim, dtype=dtype)


def find_normals(latent: Latent) -> tuple[Tensor, Tensor]:
    """Points on the boundary with the outward normals there, ``(N, D)`` each."""
    near = latent.boundary(1000)
    size = 1e-3 * near.std(dim=0).min()
    near = near + size * torch.randn_like(near)
    edge = latent.project(near)
    length = (near - edge).norm(dim=1, keepdim=True)
    far = length[:, 0] > 0.1 * size
    require(far.any(), "no point near the boundary is moved when projected")
    return edge[far], ((near - edge) / length)[far]


def find_crossings(latent: Latent, n: int) -> Tensor:
    """Points where the signed distance changes its sign, found by bisection, ``(N, D)``."""
    inside = latent.project(latent.sample(n))
    size = 30 * inside.std(dim=0).max()
    outside = inside + size * torch.nn.functional.normalize(torch.randn_like(inside))
    crosses = (latent.signed_distance(inside) <= 0) & (latent.signed_distance(outside) > 0)
    inside, outside = inside[crosses], outside[crosses]
    require(len(inside) > n // 2, "few lines from a sample outward leave the support")
    for _ in range(50):
        middle = (inside + outside) / 2
        is_in = (latent.signed_distance(middle) <= 0).unsqueeze(1)
        inside = torch.where(is_in, middle, inside)
        outside = torch.where(is_in, outside, middle)
    return inside
