"""The checks of a latent's support grown, or shrunk, to a level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from compactflow.latents.base import Latent
from compactflow.testing.checks.distribution import require_moments, require_reach
from compactflow.testing.checks.points import around
from compactflow.testing.checks.support import Make
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import equal, relative_energy_distance, require_untouched

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

_SAMPLES = 1000


@_check
def level_boundary_has_the_level(make: Make) -> None:
    """The boundary points of a grown or shrunk support have the level as signed distance."""
    for latent, level in _levels(make):
        edge = latent.level_boundary(100, level)
        require(edge.shape == (100, latent.dim), f"level_boundary has shape {tuple(edge.shape)}")
        worst = float((latent.signed_distance(edge) - level).abs().max())
        require(worst < 1e-9, f"a boundary point of level {level:.2g} is {worst:.2g} off it")


@_check
def level_projection_lands_near(make: Make) -> None:
    """The projection on a grown or shrunk support is in it, near, and moves no point inside."""
    for latent, level in _levels(make):
        z = 2 * around(latent, 500)
        project = partial(latent.level_project, z, level)
        require_untouched({"the input of level_project": z}, project)
        moved = project()
        worst = float(latent.signed_distance(moved).max()) - level
        require(worst < 1e-9, f"a projection is {worst:.2g} beyond the level {level:.2g}")
        inside = latent.signed_distance(z) <= level
        require(equal(moved[inside], z[inside]), "points inside move when projected to a level")
        nearest = torch.cdist(z, latent.level_boundary(2000, level)).amin(dim=1)
        excess = ((moved - z).norm(dim=1) / nearest)[~inside].max()
        require(
            excess < 3 * latent.dim,
            f"a projection to the level {level:.2g} moves {excess:.3g} times as far as it must",
        )


@_check
def level_gauge_fits(make: Make) -> None:
    """The gauge of a grown or shrunk support is at most 1 exactly inside."""
    for latent, level in _levels(make):
        z = around(latent, 500)
        try:
            gauge = latent.level_gauge(z, level)
        except NotImplementedError as error:
            raise SkipCheck(f"it has no gauge: {error}") from error
        agree = (gauge <= 1) == (latent.signed_distance(z) <= level)
        require(agree.all(), f"level_gauge is not 1 where the signed distance is {level:.2g}")


@_check
def level_samples_are_uniform(make: Make) -> None:
    """The samples of a grown or shrunk support lie in it, evenly spread, up to its edges."""
    # Samples of a latent's own making are looked at more closely; those of the base class are
    # chains, which take long.
    own = type(make(2)).level_sample is not Latent.level_sample
    for latent, level in _levels(make, (2, 3) if own else (2,)):
        z = latent.level_sample(50 * _SAMPLES if own else _SAMPLES, level)
        worst = float(latent.signed_distance(z).max()) - level
        require(worst < 1e-9, f"a sample is {worst:.2g} beyond the level {level:.2g}")
        edge = latent.level_boundary(2000, level)
        low, high = edge.amin(dim=0), edge.amax(dim=0)
        box = low + (high - low) * torch.rand(100 * _SAMPLES, latent.dim).to(low)
        even = box[latent.signed_distance(box) <= level]
        weight, what = even.new_ones(len(even)), f"the samples of level {level:.2g}"
        require_moments(z, even, weight, what)
        require_reach(_outward(latent, z), _outward(latent, even), weight, what)
        z, even = z[:_SAMPLES], even[:_SAMPLES]
        distance = relative_energy_distance(z, even)
        n = min(len(even), _SAMPLES)
        chance = 12 / n
        require(
            distance < chance,
            f"{what} are not spread evenly: relative energy distance "
            f"{distance:.2g}, where chance gives less than {chance:.2g}",
        )

        depths = torch.stack([latent.signed_distance(points[:n]) for points in (z, even)])
        apart = _largest_gap(*depths)
        chance = 2.5 * (2 / n) ** 0.5
        require(
            apart < chance,
            f"{what} gather in a part of it: the shares of any depth "
            f"differ by {apart:.2g} from even ones, where chance gives less than {chance:.2g}",
        )


def _outward(latent: Latent, z: torch.Tensor) -> torch.Tensor:
    """How far out rows lie by the signed distance and along each axis, ``(N, 1 + 2 D)``."""
    return torch.cat([latent.signed_distance(z)[:, None], z, -z], dim=1)


def _largest_gap(one: torch.Tensor, other: torch.Tensor) -> float:
    """Kolmogorov and Smirnov's distance of two samples."""
    values = torch.cat([one, other]).sort().values
    shares = [
        torch.searchsorted(sample.sort().values, values, right=True) / len(sample)
        for sample in (one, other)
    ]
    return float((shares[0] - shares[1]).abs().max())


def _levels(make: Make, dims: Sequence[int] = (2, 3)) -> Iterator[tuple[Latent, float]]:
    """Latents with levels that shrink their depth to half, and grow it to double."""
    for dim in dims:
        latent = make(dim).double()
        depth = -float(latent.signed_distance(latent.project(latent.sample(2000))).min())
        yield latent, -0.5 * depth
        yield latent, depth
