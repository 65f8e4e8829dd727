"""The checks of a latent's support: its distance, boundary, projection and gauge."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.testing.checks.points import around, far_points, find_crossings, find_normals
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import equal, require_finite

__all__ = ["CHECKS", "Make"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Latent]


@_check
def boundary_has_distance_zero(make: Make) -> None:
    """Boundary points have signed distance 0."""
    for dim in (2, 4):
        latent = make(dim).double()
        worst = float(latent.signed_distance(latent.boundary(200)).abs().max())
        require(worst < 1e-9, f"a boundary point has signed distance {worst:.2g} in D = {dim}")


@_check
def distance_has_its_sign(make: Make) -> None:
    """The signed distance is negative inside and positive far outside: K is bounded."""
    latent = make(3).double()
    inside = latent.signed_distance(latent.project(latent.sample(2000)))
    require(inside.median() < 0, "the signed distance is not negative at samples")
    far = latent.signed_distance(far_points(3, torch.float64))
    require((far > 0).all(), "the signed distance is not positive far outside")


@_check
def distance_is_continuous(make: Make) -> None:
    """The signed distance has no jumps: bisection runs into one wherever there is one."""
    latent = make(2).double()
    a, b = around(latent, 2000), around(latent, 2000)
    at_a, at_b = latent.signed_distance(a), latent.signed_distance(b)
    for _ in range(40):
        middle = (a + b) / 2
        value = latent.signed_distance(middle)
        left = (value - at_a).abs() > (value - at_b).abs()
        b, at_b = torch.where(left.unsqueeze(1), middle, b), torch.where(left, value, at_b)
        a, at_a = torch.where(left.unsqueeze(1), a, middle), torch.where(left, at_a, value)
    jump, i = (at_a - at_b).abs().max(dim=0)
    require(jump < 1e-6, f"the signed distance jumps by {jump:.2g} near {a[i].tolist()}")


@_check
def distance_is_a_distance(make: Make) -> None:
    """The signed distance is one, in latent units: neither scaled nor bent.

    Along an outward normal it grows at rate 1 near the boundary, at least where one constraint
    counts and is exact. Elsewhere it is at most √D times the Euclidean distance, or as many times
    as there are constraints, whose sum it is; and at least a tenth of it, inside two fifths.
    """
    for dim in (2, 3):
        latent = make(dim).double()
        size = float(latent.sample(1000).std(dim=0).min())
        edge, normal = find_normals(latent)
        for step in (1e-3 * size, 1e-2 * size, 1e-1 * size):
            for sign, where in ((1, "outside"), (-1, "inside")):
                rate = sign * latent.signed_distance(edge + sign * step * normal) / step
                best = float(rate.quantile(0.95))
                require(
                    abs(best - 1) < 0.07,
                    f"{step:.2g} {where} the boundary the signed distance is {best:.3f} times "
                    f"that, in D = {dim}",
                )
        z = 300 * around(latent, 300)
        distance = (z - latent.project(z)).norm(dim=1)
        _require_near(latent, z, distance, 0.1, "far outside")
        inside = around(latent, 2000)
        deep = latent.signed_distance(inside).min() / 2
        inside = inside[latent.signed_distance(inside) < deep]
        # Lines outward seldom cross what lies within, such as the inner spheres of shells.
        edge = torch.cat([find_crossings(latent, 4000), latent.boundary(4000)])
        depth = torch.cdist(inside, edge).amin(dim=1)
        _require_near(latent, inside, -depth, 0.4, "inside")


@_check
def constraints_agree_with_distance(make: Make) -> None:
    """All constraints are at most 0 exactly where the signed distance is."""
    latent = make(3).double()
    z = around(latent, 5000)
    c = latent.constraints(z)
    require(c.ndim == 2 and len(c) == len(z), f"constraints of (N, D) are {tuple(c.shape)}")
    agree = (c.amax(dim=1) <= 0) == (latent.signed_distance(z) <= 0)
    require(agree.all(), f"they disagree on which of {len(z)} points lie inside: {(~agree).sum()}")


@_check
def projection_lands_inside(make: Make) -> None:
    """The projection of a point is in the support, and projects to itself."""
    latent = make(3).double()
    nearest = latent.project(3 * around(latent, 500))
    worst = float(latent.signed_distance(nearest).max())
    require(worst < 1e-9, f"a projection has signed distance {worst:.2g}")
    require(equal(latent.project(nearest), nearest), "projecting twice is not projecting once")


@_check
def projection_keeps_inside_points(make: Make) -> None:
    """Points inside the support are their own projections."""
    latent = make(3).double()
    z = around(latent, 5000)
    z = z[latent.signed_distance(z) < 0]
    require(len(z), "no point inside the support was found")
    require(equal(latent.project(z), z), "points inside the support move when projected")


@_check
def projection_is_nearest_around(make: Make) -> None:
    """No point of the support around the projection is nearer, in 1, 3, 5 and 8 dimensions."""
    for dim in (1, 3, 5, 8):
        latent = make(dim).double()
        z = 2 * around(latent, 200)
        nearest = latent.project(z)
        best, distance = nearest.clone(), (nearest - z).norm(dim=1)
        outside = distance > 1e-6
        for radius in (0.5, 0.2, 0.1, 0.03, 0.01, 1e-3) * 10:
            tried = best + radius * distance.unsqueeze(1) * torch.randn_like(z)
            nearer = (tried - z).norm(dim=1) < (best - z).norm(dim=1)
            better = nearer & outside & (latent.signed_distance(tried) <= 0)
            best = torch.where(better.unsqueeze(1), tried, best)
        excess = distance - (best - z).norm(dim=1)
        worst, i = excess.max(dim=0)
        require(
            worst < 1e-9,
            f"in D = {dim} a support point is nearer to {z[i].tolist()} than its projection, by "
            f"{worst:.2g}",
        )


@_check
def boundary_covers_all(make: Make) -> None:
    """Boundary points lie near any place where the signed distance changes its sign.

    In 5 and 8 dimensions they reach as far along each axis.
    """
    for dim in (1, 2, 3, 5, 8):
        latent = make(dim).double()
        crossings, points = find_crossings(latent, 2000), latent.boundary(1000)
        one, other = crossings.chunk(2)
        usual = torch.cdist(one, other).amin(dim=1).quantile(0.99)
        found = torch.cdist(one, points).amin(dim=1).quantile(0.99)
        require(
            found < 5 * usual + 0.3 * crossings.std(dim=0).max(),
            f"parts of the boundary are {found:.2g} from the nearest of 1000 boundary points, "
            f"in D = {dim}",
        )
        centre, reach = crossings.mean(dim=0), crossings.std(dim=0)
        for sign, side in ((1, "above"), (-1, "below")):
            short = (sign * (points - centre) < 0.5 * reach).all(dim=0)
            require(
                not short.any(),
                f"no boundary point lies on the side {side} the centre of axis "
                f"{short.nonzero().flatten().tolist()}, in D = {dim}",
            )


@_check
def boundary_runs_along_curves(make: Make) -> None:
    """In the plane, most boundary points have a nearest one before or after them."""
    points = make(2).double().boundary(400)
    apart = torch.cdist(points, points)
    step = apart.diagonal(1)
    beside = torch.minimum(torch.cat([step, step[-1:]]), torch.cat([step[:1], step]))
    nearest = apart.fill_diagonal_(torch.inf).amin(dim=1)
    share = float((beside <= 5 * nearest + 1e-9).double().mean())
    require(
        share > 0.8,
        f"only {share:.0%} of the boundary points in the plane have a near one before or after "
        "them, so that plots cannot join them; give them in order",
    )


@_check
def projection_is_nearest(make: Make) -> None:
    """No boundary point and no point inside is nearer than the projection, in the plane."""
    latent = make(2).double()
    z = 2 * around(latent, 300)
    inside = around(latent, 5000)
    inside = inside[latent.signed_distance(inside) <= 0]
    candidates = torch.cat([latent.boundary(3000), inside])
    excess = (latent.project(z) - z).norm(dim=1) - torch.cdist(z, candidates).amin(dim=1)
    worst, i = excess.max(dim=0)
    require(
        worst < 1e-9,
        f"a support point is nearer to {z[i].tolist()} than its projection, by {worst:.2g}",
    )


@_check
def gauge_fits(make: Make) -> None:
    """The gauge is homogeneous, and at most 1 exactly inside the support."""
    latent = make(3).double()
    z = around(latent, 2000)
    try:
        gauge = latent.gauge(z)
    except NotImplementedError as error:
        raise SkipCheck(f"it has no gauge: {error}") from error
    require(equal(latent.gauge(3 * z), 3 * gauge), "gauge(3 z) is not 3 gauge(z)")
    agree = (gauge <= 1) == (latent.signed_distance(z) <= 0)
    require(agree.all(), "gauge <= 1 is not where the signed distance is at most 0")


@_check
def finite_far_away(make: Make) -> None:
    """Distance, constraints and projection are finite a million units away, in both precisions.

    Those in float32 are those in float64, to 1e-3; of points of the support that are as near, but
    for float32's rounding, it may project to another.
    """
    latent, far = make(3), far_points(3, torch.float64)
    exact: dict[str, Tensor] = {}
    for dtype in (torch.float64, torch.float32):
        latent, z = latent.to(dtype), far.to(dtype)
        values = {
            name: getattr(latent, name)(z)
            for name in ("signed_distance", "constraints", "project")
        }
        require_finite(f"at |z| = 1e6 in {dtype}", **values)
        require(not latent.log_prob(z).isnan().any(), f"log_prob is NaN at 1e6 in {dtype}")
        for name, value in values.items():
            right = exact.setdefault(name, value)
            found = value.double()
            if name == "project":
                tied = _tied(make(3).double(), far, found, right)
                found = torch.where(tied.unsqueeze(1), right, found)
            require(equal(found, right, 1e-3), f"{name} at 1e6 is another in {dtype}")


def _tied(latent: Latent, z: Tensor, found: Tensor, right: Tensor) -> Tensor:
    """Which points, found in float32, are as near as those of float64, and nearest around."""
    away = (z - found).norm(dim=1, keepdim=True)
    nearer = away[:, 0] - (right - z).norm(dim=1)
    step = 0.1 * latent.sample(1000).std(dim=0).min()
    around_it = latent.project(found + step * (z - found) / away)
    nearest = (around_it - found).abs().amax(dim=1) < 1e-3
    return nearest & (nearer < 2 * torch.finfo(torch.float32).eps * z.norm(dim=1))


def _require_near(latent: Latent, z: Tensor, distance: Tensor, least: float, where: str) -> None:
    """Fail unless signed distances are Euclidean ones up to the factors that are allowed."""
    ratio = latent.signed_distance(z) / distance
    most = max(latent.dim**0.5, latent.constraints(z).shape[1])
    # What was found by a search is a little too large.
    allowed = (ratio > least) & (ratio < 1.25 * most)
    worst = ratio[(ratio.log().nan_to_num(nan=torch.inf)).abs().argmax()] if len(z) else 1
    require(
        allowed.all(),
        f"{where} the signed distance is {worst:.3g} times the Euclidean one, in D = {latent.dim}",
    )
