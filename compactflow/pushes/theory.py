"""Numerical checks that a pull and a push go together, and the weight of the pull."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.plugins import registry
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["balance", "check_theory", "convexity_violation", "outward_violation"]

_POINTS = 1024
_SAMPLES = 16_384
_STEP = 1e-2  # beyond the boundary, in latent units


def check_theory(pull: Pull, push: Push) -> None:
    """Check that a pull can balance a push, numerically.

    A push that compares with samples balances only a pull that is convex on the support (Schmier
    et al. 2024); any push needs one that rises outward at the boundary.

    Raises:
        ValueError: If it cannot; the message says where.
    """
    if not push.pulled:
        return
    reason = outward_violation(pull)
    if not (reason or push.entropic):
        reason = convexity_violation(pull)
    if reason:
        advice = (
            ""
            if push.entropic
            else "; take a convex pull, or a push that maximises entropy, 'stein'"
        )
        raise ValueError(
            f"the pull {type(pull).__name__} on {type(pull.latent).__name__} does not go with the "
            f"push {type(push).__name__}: {reason}{advice}"
        )


def balance(pull: Pull, push: Push) -> None:
    """Weigh the pull for an entropic push, unless ``exp(-pull)`` is the latent's own density.

    Latents settle at ``exp(-β pull)/Z``, with β the weight. Under dilation the latent distribution
    p is stationary for ``β = D / E_p[z·∇pull(z)]`` (the virial identity), and so keeps its size:
    D + 1 for the gauge of a uniform support, 1 for the squared pull of the standard normal.
    """
    own = registry.load("pull", pull.latent.confining_pull)
    if not push.entropic or isinstance(pull, cast("type", own)):
        return
    z = pull.latent.sample(_SAMPLES, _generator(pull.latent))
    _, gradient = pull.value_and_gradient(z)
    pull.weight = pull.latent.dim / (z * gradient).sum(dim=1).mean().item()


@torch.no_grad()
def convexity_violation(pull: Pull) -> str | None:
    """Look for a chord in the support K above which the pull rises, as no convex function does.

    The pairs are latent samples, near and far; those with an end or the middle outside K do not
    count. It draws from a generator of its own.

    Returns:
        Where and by how much the pull is not convex, or ``None`` if no such place was found.
    """
    latent = pull.latent
    generator = _generator(latent)
    a, b = latent.sample(2 * _POINTS, generator).chunk(2)
    # Chords of every length: long ones average short bends out.
    b = a + (b - a) * torch.rand(
        _POINTS, 1, generator=generator, dtype=torch.float32, device=a.device
    ).to(a)
    middle = (a + b) / 2
    inside = (torch.stack([latent.signed_distance(z) for z in (a, b, middle)]) <= 0).all(dim=0)
    a, b, middle = a[inside], b[inside], middle[inside]
    value, chord = pull(middle), (pull(a) + pull(b)) / 2
    rounding = 100 * torch.finfo(a.dtype).eps * (1 + chord.abs())
    excess = (value - chord - rounding).nan_to_num(nan=torch.inf)
    if not (excess > 0).any():
        return None
    i = int(excess.argmax())
    return (
        f"not convex on the support: f((a + b)/2) = {value[i]:.4g} > (f(a) + f(b))/2 = "
        f"{chord[i]:.4g} at a = {_text(a[i])}, b = {_text(b[i])}"
    )


@torch.no_grad()
def outward_violation(pull: Pull) -> str | None:
    """Look for an outward normal of the support K along which the pull does not rise.

    It compares boundary points with points one hundredth of a latent unit beyond them, along
    ``z - project(z)``, which is normal to K whatever its shape. It draws from a generator of its
    own.

    Returns:
        Where and by how much the pull does not rise, or ``None`` if no such place was found.
    """
    latent = pull.latent
    generator = _generator(latent)
    near = latent.boundary(_POINTS, generator)
    noise = torch.randn(near.shape, generator=generator, dtype=near.dtype, device=near.device)
    near = near + _STEP * noise
    edge = latent.project(near)
    length = (near - edge).norm(dim=1)
    outside = length > 0.1 * _STEP  # nearer, and rounding hides the direction
    edge, normal = edge[outside], ((near - edge) / length.unsqueeze(1))[outside]
    beyond = edge + _STEP * normal
    at_edge, outward = pull(edge), pull(beyond)
    rise = (outward - at_edge).nan_to_num(nan=-torch.inf)
    if (rise > 0).all():
        return None
    i = int(rise.argmin())
    return (
        f"not increasing outward at the boundary: f = {at_edge[i]:.4g} at {_text(edge[i])} and "
        f"{outward[i]:.4g} just outside, at {_text(beyond[i])}"
    )


def _generator(latent: Latent) -> torch.Generator:
    return torch.Generator(latent.like.device).manual_seed(0)


def _text(point: Tensor) -> str:
    """A point as text, of its first four coordinates."""
    shown = [f"{value:.3g}" for value in point[:4].tolist()]
    return f"({', '.join(shown + ['…'] * (len(point) > 4))})"
