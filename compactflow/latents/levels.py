"""The sets ``{z : s(z) ≤ t}`` of a latent, found by its signed distance s alone.

They are its support grown, or shrunk below t = 0, and the sets that a level of scores decides by.
A latent with closed forms overrides the methods of `Latent` that call these.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["boundary", "gauge", "is_star", "project", "sample"]

_HALVINGS = 60
_DOUBLINGS = 100
_STEPS = 64  # along a normal
_REACH = 10.0  # the signed distance is a tenth of the Euclidean one at least
_DRAWN = 4096  # samples among which to look for points of the set
_MOVES = 100  # of a chain


class _Support(Protocol):
    """What is asked of a latent: see `compactflow.latents.base.Latent`."""

    like: Tensor
    dim: int

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...
    def signed_distance(self, z: Tensor) -> Tensor: ...
    def gauge(self, z: Tensor) -> Tensor: ...
    def project(self, z: Tensor) -> Tensor: ...
    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...


def gauge(latent: _Support, z: Tensor, level: float) -> Tensor:
    """The Minkowski functional: the factor by which the set must grow to reach a row, ``(N,)``."""
    if not is_star(latent, level):
        _members(latent, level)  # raises if there are none
        raise NotImplementedError(
            f"the support of {type(latent).__name__} at level {level:.6g} does not hold 0, and so "
            "has no gauge; use the signed distance"
        )
    length = z.norm(dim=1).clamp_min(torch.finfo(z.dtype).tiny)
    edge = _along_rays(latent, z / length[:, None], level)
    return z.norm(dim=1) / edge.norm(dim=1)


def boundary(
    latent: _Support, n: int, level: float, generator: torch.Generator | None = None
) -> Tensor:
    """Points where s is the level, ``(n, D)``, in the order of the support's boundary points.

    From these they lie on rays from 0 if the set has a gauge, and else along the normals.
    """
    edge = latent.boundary(n, generator)
    if level == 0:
        return edge
    if is_star(latent, level):
        return _along_rays(latent, edge, level)
    with torch.enable_grad():
        z = edge.detach().requires_grad_()
        (normal,) = torch.autograd.grad(latent.signed_distance(z).sum(), z)
    normal = torch.nn.functional.normalize(normal)
    reach = _REACH * level / _STEPS * torch.arange(_STEPS + 1).to(edge)
    ways = edge[:, None] + reach[:, None] * normal[:, None]
    inside = (latent.signed_distance(ways.flatten(0, 1)) <= level).view(n, -1)
    crossed = inside != inside[:, :1]
    rows = crossed.any(dim=1).nonzero().flatten()
    if not len(rows):
        raise _empty(latent, level)
    first = crossed[rows].long().argmax(dim=1)
    before, after = ways[rows, first - 1], ways[rows, first]
    start = inside[rows, 0][:, None]
    found = _bisect(
        latent, torch.where(start, before, after), torch.where(start, after, before), level
    )
    # Where the grown parts of a support have met, no boundary is left.
    return found[torch.linspace(0, len(found) - 1, n).round().long()]


def project(latent: _Support, z: Tensor, level: float) -> Tensor:
    """A point of the set near each row, ``(N, D)``: itself inside, else on the boundary.

    Outside a grown support it lies on the way to the nearest point of the support, which is
    the nearest point where the signed distance is Euclidean. Outside a shrunk one it lies on the
    way from there inwards.
    """
    outside = latent.signed_distance(z) > level
    if not outside.any():
        return z.clone()
    start = z[outside]
    goal = latent.project(start)
    if level < 0:
        start, goal = goal, _inner(latent, goal, level)
    projected = z.clone()
    projected[outside] = _bisect(latent, goal, start, level)
    return projected


def sample(
    latent: _Support, n: int, level: float, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `n` points uniformly from the set, ``(n, D)``, by chains of hit-and-run.

    References:
        Neal (2003), *Slice sampling*: the shrinking interval, which needs no convexity.
    """
    z = project(latent, latent.sample(n, generator), level)
    width = 4 * (z.std(dim=0, correction=0).max() + abs(level)) * latent.dim**0.5

    def uniform() -> Tensor:
        return torch.rand(n, generator=generator, dtype=z.dtype, device=z.device)

    direction = torch.zeros_like(z)
    low = high = torch.zeros_like(z[:, 0])
    begins = torch.ones_like(low, dtype=torch.bool)
    left = _MOVES * begins.long()  # moves of each chain, which waits for no other
    for _ in range(_MOVES * _HALVINGS):
        normal = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        direction = torch.where(begins[:, None], torch.nn.functional.normalize(normal), direction)
        first = -width * uniform()
        low, high = torch.where(begins, first, low), torch.where(begins, first + width, high)
        step = low + (high - low) * uniform()
        tried = z + step[:, None] * direction
        begins = latent.signed_distance(tried) <= level
        z = torch.where((begins & (left > 0))[:, None], tried, z)
        left = left - begins.long()
        if not (left > 0).any():
            break
        low, high = torch.where(step < 0, step, low), torch.where(step >= 0, step, high)
    return z


def is_star(latent: _Support, level: float) -> bool:
    """Whether the latent has a gauge, so that its support is star-shaped around 0, as the set is.

    A set that has shrunk away from 0 is not.
    """
    centre = latent.like.new_zeros(1, latent.dim)
    try:
        latent.gauge(centre)
    except NotImplementedError:
        return False
    return bool(latent.signed_distance(centre) <= level)


def _along_rays(latent: _Support, directions: Tensor, level: float) -> Tensor:
    """Where rays from 0 leave the set, ``(N, D)``."""
    centre = torch.zeros_like(directions)
    far = directions
    for _ in range(_DOUBLINGS):
        inside = latent.signed_distance(far) <= level
        if not inside.any():
            break
        far = torch.where(inside[:, None], 2 * far, far)
    return _bisect(latent, centre, far, level)


def _inner(latent: _Support, z: Tensor, level: float) -> Tensor:
    """The nearest point of the set to each row that is found, ``(N, D)``."""
    candidates = _members(latent, level).to(z)
    return candidates[torch.cdist(z, candidates).argmin(dim=1)]


def _members(latent: _Support, level: float) -> Tensor:
    """Points of the set: 0, if it is one, and samples, ``(n, D)``."""
    generator = torch.Generator(latent.like.device).manual_seed(0)
    drawn = latent.sample(_DRAWN, generator)
    candidates = torch.cat([torch.zeros_like(drawn[:1]), drawn])
    candidates = candidates[latent.signed_distance(candidates) <= level]
    if not len(candidates):
        raise _empty(latent, level)
    return candidates


def _bisect(latent: _Support, inside: Tensor, outside: Tensor, level: float) -> Tensor:
    """The last points of the set on the ways from points inside to points outside, ``(N, D)``."""
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        is_in = (latent.signed_distance(middle) <= level)[:, None]
        inside = torch.where(is_in, middle, inside)
        outside = torch.where(is_in, outside, middle)
    return inside


def _empty(latent: _Support, level: float) -> ValueError:
    return ValueError(
        f"level {level:.6g} leaves nothing of the support of {type(latent).__name__}: no point "
        "with such a signed distance was found; take a higher one"
    )
