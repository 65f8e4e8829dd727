"""The checks of a latent: its distribution here, its support in `support` and `levels`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log, pi
from typing import cast

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.plugins import registry
from compactflow.pushes.theory import outward_violation
from compactflow.testing.checks import levels, support
from compactflow.testing.checks.support import Make, around
from compactflow.testing.results import Checks, collect, require
from compactflow.testing.tools import (
    on_meta,
    reloaded,
    require_finite,
    require_registered,
    require_untouched,
)
from compactflow.training.monitors import energy_distance

__all__ = ["CHECKS"]

CHECKS: Checks = support.CHECKS | levels.CHECKS
_check = collect(CHECKS)

_BATCHES = 100
_INSIDE = 0.9  # share of samples; a support that holds a level of its mass leaves some outside


@_check
def dimensions(make: Make) -> None:
    """It can be made in 1, 2 and 5 dimensions, and not in 0."""
    for dim in (1, 2, 5):
        latent = make(dim)
        require(latent.dim == dim, f"dim is {latent.dim} for dimension {dim}")
        z = latent.sample(7)
        shapes = {
            "sample": (z, (7, dim)),
            "boundary": (latent.boundary(7), (7, dim)),
            "project": (latent.project(z), (7, dim)),
            "signed_distance": (latent.signed_distance(z), (7,)),
            "log_prob": (latent.log_prob(z), (7,)),
        }
        for name, (value, shape) in shapes.items():
            found = tuple(value.shape)
            require(found == shape, f"{name} has shape {found}, not {shape}, in D = {dim}")
            require_finite(f"in D = {dim}", **{name: value})
    try:
        make(0)
    except ValueError:
        return
    require(False, "dim=0 is accepted; raise ValueError")


@_check
def generator_decides(make: Make) -> None:
    """Samples are decided by the generator, if one is given, by it alone, and else by torch's."""
    latent = make(2)
    require(
        not torch.equal(latent.sample(50), latent.sample(50)),
        "without a generator the samples are the same each time; draw from torch's",
    )

    def draw(seed: int) -> Tensor:
        return latent.sample(50, torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    require(torch.equal(draw(1), draw(1)), "the same generator gives different samples")
    require(not torch.equal(draw(1), draw(2)), "different generators give the same samples")
    require(
        torch.equal(torch.get_rng_state(), before), "a generator is given and torch's is used too"
    )


@_check
def samples_lie_inside(make: Make) -> None:
    """At least 90 % of the samples have a signed distance of at most 0."""
    latent = make(3).double()
    share = float((latent.signed_distance(latent.sample(5000)) <= 0).double().mean())
    require(share >= _INSIDE, f"only {share:.0%} of the samples lie inside the support")


@_check
def samples_are_independent(make: Make) -> None:
    """Samples do not repeat, nor depend on each other: means of a batch vary as they should."""
    latent = make(3).double()
    z = latent.sample(_BATCHES**2)
    require(len(torch.unique(z, dim=0)) == len(z), "samples repeat")
    for name, value in (("samples", z), ("squares of samples", z.square())):
        value = (value - value.mean(dim=0)) / value.std(dim=0)
        means = value.view(_BATCHES, _BATCHES, -1)
        for order, batches in (("each other", means), ("distant ones", means.transpose(0, 1))):
            variance = batches.mean(dim=1).var(dim=0) * _BATCHES
            spread = 6 * (2 / (_BATCHES - 1)) ** 0.5
            odd = variance[(variance - 1).abs() > spread]
            require(
                not len(odd),
                f"{name} depend on {order}: means of {_BATCHES} have {odd.tolist()} times the "
                "variance of independent ones",
            )


@_check
def samples_follow_density(make: Make) -> None:
    """Samples have the moments and the distribution that log_prob says, in 1, 2, 3 and 5 D."""
    for dim in (1, 2, 3, 5):
        latent = make(dim).double()
        proposal, weight = _weighted(latent)
        z = latent.sample(20_000)
        weight = weight / weight.mean()
        for name, moment in (("mean", _first), ("second moment", _second)):
            one, other = moment(z), weight.unsqueeze(1) * moment(proposal)
            # Minus its target, as the weights' own mean is estimated too.
            noise = other - weight.unsqueeze(1) * other.mean(dim=0)
            error = (one.var(dim=0) / len(one) + noise.var(dim=0) / len(noise)).sqrt()
            score = ((one.mean(dim=0) - other.mean(dim=0)) / error).abs().max()
            require(
                score < 6,
                f"in D = {dim} the samples' {name} is {score:.0f} standard errors from log_prob's",
            )
        n = 3000
        drawn = proposal[torch.multinomial(weight, n)]
        distance = energy_distance(z[:n], drawn) / float(torch.cdist(z[:n], drawn).mean())
        require(
            distance < 6 / n,
            f"in D = {dim} the samples do not follow log_prob: relative energy distance "
            f"{distance:.2g}, where chance gives less than {6 / n:.2g}",
        )


@_check
def density_integrates_to_one(make: Make) -> None:
    """The integral of exp(log_prob) is 1, in 1, 2, 3 and 5 dimensions."""
    for dim in (1, 2, 3, 5):
        _, weight = _weighted(make(dim).double())
        integral, error = float(weight.mean()), float(weight.std() / len(weight) ** 0.5)
        require(
            abs(integral - 1) < 6 * error + 1e-3,
            f"exp(log_prob) integrates to {integral:.3f} ± {error:.3f} in D = {dim}",
        )


@_check
def pulls_serve(make: Make) -> None:
    """Its default_pull and confining_pull name pulls that rise outward at its boundary."""
    for dim in (2, 3):
        latent = make(dim).double()
        for attribute in ("default_pull", "confining_pull"):
            pull = registry.load("pull", getattr(latent, attribute))(latent)
            require_finite("at samples", **{attribute: pull(latent.sample(50))})
            reason = outward_violation(pull)
            require(reason is None, f"its {attribute} is {reason}")


@_check
def adapts_to_data(make: Make) -> None:
    """What `adapt` sets is saved, in whatever shape, and stays a support with its distribution."""
    latent = make(3)
    if type(latent).adapt is Latent.adapt:
        return
    x = torch.cat([torch.randn(60, 3), 0.5 * torch.randn(60, 3) + 4])
    anchors = latent.adapt(x)
    if anchors is not None:
        require(anchors.shape == x.shape, f"anchors of {tuple(x.shape)} are {anchors.shape}")
        require_finite("of data", anchors=anchors)
    require(len(latent.sample(5)) == 5, "it gives no samples after adapt")
    share = float((latent.signed_distance(latent.sample(2000)) <= 0).double().mean())
    require(share >= _INSIDE, f"only {share:.0%} of the samples lie inside after adapt")
    worst = float(latent.signed_distance(latent.boundary(200)).abs().max())
    require(worst < 1e-4, f"a boundary point has signed distance {worst:.2g} after adapt")
    fresh = reloaded(latent, lambda: make(3))
    same = torch.equal(latent.signed_distance(x), fresh.signed_distance(x))
    require(
        same and torch.equal(latent.log_prob(x), fresh.log_prob(x)),
        "what adapt sets is lost in saving; register it by register_buffer in __init__",
    )


@_check
def leaves_its_input_alone(make: Make) -> None:
    """No method changes the latents that it is given."""
    latent = make(2).double()
    z = around(latent, 50)
    for name, call in _calls(latent, z):
        require_untouched({f"the input of {name}": z}, call)


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh latent of the same options is the same once it has loaded the state."""
    latent = make(3)
    z = around(latent, 500)
    fresh = reloaded(latent, lambda: make(3))
    same = torch.equal(latent.signed_distance(z), fresh.signed_distance(z))
    require(
        same and torch.equal(latent.log_prob(z), fresh.log_prob(z)),
        "signed distance or log_prob differs after loading; register what they need as buffers",
    )
    require_registered(latent, lambda module: cast("Latent", module).signed_distance(z))
    require_registered(latent, lambda module: cast("Latent", module).log_prob(z))


@_check
def follows_device_and_dtype(make: Make) -> None:
    """It computes and draws on the device and in the dtype that it was moved to."""
    latent = make(2)
    for dtype in (torch.float64, torch.float32):
        for name, call in _calls(latent.to(dtype), torch.zeros(4, 2, dtype=dtype)):
            found = call().dtype
            require(found == dtype, f"{name} is {found} after .to({dtype})")
    on_meta(_calls(latent.to("meta"), torch.zeros(4, 2, device="meta")))


def _calls(latent: Latent, z: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    yield "constraints", lambda: latent.constraints(z)
    yield "signed_distance", lambda: latent.signed_distance(z)
    yield "sample", lambda: latent.sample(4)
    yield "boundary", lambda: latent.boundary(4)
    yield "project", lambda: latent.project(z)
    yield "log_prob", lambda: latent.log_prob(z)


def _first(z: Tensor) -> Tensor:
    return z


def _second(z: Tensor) -> Tensor:
    return (z.unsqueeze(2) * z.unsqueeze(1)).flatten(1)


def _weighted(latent: Latent) -> tuple[Tensor, Tensor]:
    """Points of a wide normal, ``(N, D)``, with their importance weights, ``(N,)``."""
    sample = latent.sample(5000)
    mean, std = sample.mean(dim=0), 1.5 * sample.std(dim=0)
    noise = torch.randn(200_000, latent.dim, dtype=sample.dtype)
    log_density = -0.5 * (noise.square() + log(2 * pi)).sum(dim=1) - std.log().sum()
    points = mean + std * noise
    return points, (latent.log_prob(points) - log_density).exp()
