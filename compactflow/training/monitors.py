"""What to watch while training, as the loss says little: all without a Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor

from compactflow.backbones.conditional import bind
from compactflow.flows.flow import CompactFlow
from compactflow.randomness import normal_like

__all__ = [
    "conditioning",
    "energy_distance",
    "inlier_fraction",
    "latent_energy",
    "monitor",
    "reconstruction_error",
    "resampled_energies",
    "within",
]

_STRETCHED_ROWS = 32


def within(b: Tensor) -> float:
    """Mean distance between two rows of ``(M, D)``, M ≥ 2."""
    return float(torch.cdist(b, b).sum()) / (len(b) * (len(b) - 1))


def energy_distance(a: Tensor, b: Tensor, within_b: float | None = None) -> float:
    """Energy distance between two samples, the unbiased U-statistic (may be just below 0).

    Args:
        a: ``(N, D)``, N ≥ 2; or ``(K, N, D)`` for the mean over K samples.
        b: ``(M, D)``, M ≥ 2.
        within_b: `within` of b, if it is known.

    References:
        Székely, Rizzo (2013), *Energy statistics: A class of statistics based on distances*.
    """
    samples, n = a.shape[:-2].numel(), a.shape[-2]
    within_a = torch.cdist(a, a).sum() / (samples * n * (n - 1))
    within_b = within(b) if within_b is None else within_b
    return float(2 * torch.cdist(a, b).mean() - within_a - within_b)


def latent_energy(
    flow: CompactFlow, z: Tensor, reference: Tensor, within_reference: float | None = None
) -> float:
    """Energy distance of a flow's latents ``(N, D)`` from a reference ``(K, D)``.

    Of an ensemble it is the mean over the flows, each by its own rows: what they give together, a
    mixture, may follow the reference where none of them does. With a single row for a flow, which
    has no energy distance, all rows are judged together.
    """
    return energy_distance(_samples(flow, z), reference, within_reference)


def resampled_energies(
    flow: CompactFlow, pool: Tensor, picked: Tensor, reference: Tensor, within_reference: float
) -> Tensor:
    """`latent_energy` of S draws from a pool of latents, ``(S,)``, without a distance twice.

    Args:
        flow: The flow.
        pool: Latents, ``(P, D)``.
        picked: Which of them each draw has, ``(S, N)``; some may be in it more than once.
        reference: ``(K, D)``.
        within_reference: `within` of the reference.
    """
    between, across = torch.cdist(pool, pool), torch.cdist(pool, reference).mean(dim=1)
    samples = torch.stack([_samples(flow, rows) for rows in picked])
    counts = pool.new_zeros(*samples.shape[:2], len(pool))
    counts.scatter_add_(2, samples, counts.new_ones(()).expand(samples.shape))
    n = samples.shape[2]
    within_draws = (counts @ between * counts).sum(dim=2) / (n * (n - 1))
    return (2 * counts @ across / n - within_draws).mean(dim=1) - within_reference


def inlier_fraction(flow: CompactFlow, z: Tensor) -> float:
    """Share of latents ``(N, D)`` inside the support, in [0, 1]."""
    return float((flow.latent.signed_distance(z) <= 0).double().mean())


def reconstruction_error(flow: CompactFlow, x: Tensor, z: Tensor) -> float:
    """Largest round-trip error ``|T⁻¹(T(x)) - x| / (1 + |x|)`` of preprocessed rows ``(N, D)``."""
    given, x = bind(flow.backbone, x)
    error = (given.inverse(z, start=x) - x).norm(dim=1)
    return float((error / (1 + x.norm(dim=1))).max())


def conditioning(
    flow: CompactFlow,
    x: Tensor,
    z: Tensor,
    *,
    step: float = 1e-2,
    generator: torch.Generator | None = None,
) -> float:
    """Largest over smallest stretch of T around the rows of x, at least 1.

    Eight random short steps from each bound the Jacobian's condition number from below, at the
    cost of one forward pass, of at most 32 rows of each flow. It is the median over these; of an
    ensemble that of its worst flow.
    """
    kept = _STRETCHED_ROWS * flow.backbone.members
    # Drawn for all rows, so that how many are kept does not change the draws that follow.
    features, context = x.tensor_split([flow.dim], dim=1)
    steps = torch.stack([normal_like(features, generator)[:kept] for _ in range(8)])
    steps = step * steps / steps.norm(dim=2, keepdim=True)
    rows = torch.cat([features[:kept] + steps, context[:kept].expand(8, -1, -1)], dim=2)
    given, moved = bind(flow.backbone, rows.flatten(0, 1))
    moved = given(moved).view(steps.shape)
    stretch = (moved - z[:kept]).norm(dim=2) / step
    ratio = stretch.amax(dim=0) / stretch.amin(dim=0).clamp_min(1e-30)
    return float(_by_member(flow, ratio).median(dim=1).values.max())


@torch.no_grad()
def monitor(
    flow: CompactFlow,
    x: Tensor,
    reference: Tensor,
    generator: torch.Generator | None = None,
    *,
    z: Tensor | None = None,
    within_reference: float | None = None,
) -> dict[str, float]:
    """All monitors of a flow, or of an ensemble side by side, on preprocessed inliers.

    Each flow of an ensemble is judged by its own rows: see `latent_energy`.

    Args:
        flow: The flow; its backbone may be a `compactflow.training.stack.Stack` of M networks.
        x: Preprocessed held-out inliers, ``(N, D)``, N a multiple of M; it takes time O(N²).
        reference: A fixed sample of the latents' equilibrium, ``(K, D)``; fixed, so that the
            energy distances of two checks differ by the flow alone.
        generator: Where to draw random numbers from.
        z: The latents of x, if they are known.
        within_reference: `within` of the reference, if it is known.

    Returns:
        ``energy_distance`` (latent units, the mean over the flows), ``inlier_fraction`` (in
        [0, 1]), ``reconstruction_error`` (relative) and ``conditioning`` (at least 1, that of the
        worst flow).
    """
    if z is None:
        given, features = bind(flow.backbone, x)
        z = given(features)
    return {
        "energy_distance": latent_energy(flow, z, reference, within_reference),
        "inlier_fraction": inlier_fraction(flow, z),
        "reconstruction_error": reconstruction_error(flow, x, z),
        "conditioning": conditioning(flow, x, z, generator=generator),
    }


def _samples(flow: CompactFlow, rows: Tensor) -> Tensor:
    """Rows of M flows as a sample of each, or as one where a flow has but one row."""
    return rows[None] if len(rows) < 2 * flow.backbone.members else _by_member(flow, rows)


def _by_member(flow: CompactFlow, rows: Tensor) -> Tensor:
    """Rows ``(N, ...)`` of M flows in turn as ``(M, N/M, ...)``."""
    return rows.view(-1, flow.backbone.members, *rows.shape[1:]).transpose(0, 1)
