"""What to watch while training, as the loss says little: all without a Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor

from compactflow.flow import CompactFlow

__all__ = ["conditioning", "energy_distance", "inlier_fraction", "monitor", "reconstruction_error"]


def energy_distance(a: Tensor, b: Tensor) -> float:
    """Energy distance between two samples, the unbiased U-statistic (may be just below 0).

    Args:
        a: ``(N, D)``, N ≥ 2.
        b: ``(M, D)``, M ≥ 2.

    References:
        Székely, Rizzo (2013), *Energy statistics: A class of statistics based on distances*.
    """
    n, m = len(a), len(b)
    within_a = torch.cdist(a, a).sum() / (n * (n - 1))
    within_b = torch.cdist(b, b).sum() / (m * (m - 1))
    return float(2 * torch.cdist(a, b).mean() - within_a - within_b)


def inlier_fraction(flow: CompactFlow, z: Tensor) -> float:
    """Share of latents ``(N, D)`` inside the support, in [0, 1]."""
    return float((flow.latent.signed_distance(z) <= 0).double().mean())


def reconstruction_error(flow: CompactFlow, x: Tensor, z: Tensor) -> float:
    """Largest round-trip error ``|T⁻¹(T(x)) - x| / (1 + |x|)`` of preprocessed rows ``(N, D)``."""
    error = (flow.backbone.inverse(z, start=x) - x).norm(dim=1)
    return float((error / (1 + x.norm(dim=1))).max())


def conditioning(flow: CompactFlow, x: Tensor, z: Tensor, *, step: float = 1e-2) -> float:
    """Largest over smallest stretch of T around the rows of x, at least 1.

    Random short steps bound the Jacobian's condition number from below, at the cost of eight
    forward passes.
    """
    stretches = []
    for _ in range(8):
        v = torch.randn_like(x)
        v = step * v / v.norm(dim=1, keepdim=True)
        stretches.append((flow.backbone(x + v) - z).norm(dim=1) / step)
    stretch = torch.stack(stretches)
    return float((stretch.amax(dim=0) / stretch.amin(dim=0).clamp_min(1e-30)).median())


@torch.no_grad()
def monitor(flow: CompactFlow, x: Tensor, reference: Tensor) -> dict[str, float]:
    """All monitors of a flow on preprocessed inliers.

    Args:
        flow: The flow.
        x: Preprocessed held-out inliers, ``(N, D)``; the time is quadratic in N.
        reference: A fixed sample of the latents' equilibrium, ``(M, D)``; fixed, so that the
            energy distances of two checks differ by the flow alone.

    Returns:
        ``energy_distance`` (latent units), ``inlier_fraction`` (in [0, 1]),
        ``reconstruction_error`` (relative) and ``conditioning`` (at least 1).
    """
    z = flow.backbone(x)
    return {
        "energy_distance": energy_distance(z, reference),
        "inlier_fraction": inlier_fraction(flow, z),
        "reconstruction_error": reconstruction_error(flow, x, z),
        "conditioning": conditioning(flow, x, z),
    }
