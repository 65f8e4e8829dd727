"""The checks of a pull, on the latent that is named, or on several."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.pulls.base import Pull
from compactflow.pushes.theory import convexity_violation, outward_violation
from compactflow.randomness import seeded
from compactflow.testing.checks.distribution import require_law
from compactflow.testing.results import Checks, collect, require
from compactflow.testing.tools import (
    equal,
    on_meta,
    reloaded,
    require_finite,
    require_registered,
    require_slope,
    require_untouched,
)

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

#: Makes the pull on each of the latents in a dimension.
Make: TypeAlias = Callable[[int], list[Pull]]

_DIM = 3


@_check
def dimensions(make: Make) -> None:
    """It has one finite value per row in 1, 2 and 5 dimensions."""
    for dim in (1, 2, 5):
        for pull in make(dim):
            value = pull(pull.latent.sample(7))
            where = f"{_on(pull)} in D = {dim}"
            require(value.shape == (7,), f"7 rows give {tuple(value.shape)}, not (7,), {where}")
            require_finite(where, value=value)


@_check
def finite_far_away(make: Make) -> None:
    """Value and gradient are finite a million units away."""
    for dtype in (torch.float32, torch.float64):
        far = 1e6 * torch.randn(200, _DIM, dtype=dtype)
        for pull in make(_DIM):
            value, gradient = pull.to(dtype).value_and_gradient(far)
            require_finite(f"at |z| = 1e6 in {dtype}", value=value, gradient=gradient)


@_check
def gradient_is_finite(make: Make) -> None:
    """The gradient is finite everywhere, also at 0 and on the boundary, where norms have kinks."""
    for dim in (1, 3):
        for pull in map(torch.nn.Module.double, make(dim)):
            points = {
                "0": torch.zeros(1, dim, dtype=torch.float64),
                "samples": pull.latent.sample(200),
                "the boundary": pull.latent.boundary(200),
            }
            for name, z in points.items():
                _, gradient = pull.value_and_gradient(z)
                require_finite(f"at {name}, {_on(pull)} in D = {dim}", gradient=gradient)


@_check
def gradient_is_the_slope(make: Make) -> None:
    """The gradient is the slope of the values, inside the support and outside."""
    for pull in map(torch.nn.Module.double, make(_DIM)):
        for scale in (0.5, 1.0, 3.0):
            for z in scale * pull.latent.sample(8):
                row = z[None].requires_grad_()
                require_slope(f"the value {_on(pull)}", lambda: pull(row).sum(), [row])  # noqa: B023


@_check
def value_and_gradient_are_autograds(make: Make) -> None:
    """value_and_gradient gives the values of forward, with their gradient."""
    for pull in map(torch.nn.Module.double, make(_DIM)):
        z = 2 * pull.latent.sample(20)
        for found, right in zip(
            pull.value_and_gradient(z), Pull.value_and_gradient(pull, z), strict=True
        ):
            require(equal(found, right), "value_and_gradient gives others than forward does")


@_check
def settled_latents_follow_the_pull(make: Make) -> None:
    """A `settle` of its own draws from exp(-weight pull)/Z, by the generator that it is given."""
    for pull in map(torch.nn.Module.double, make(2)):
        if type(pull).settle is Pull.settle:
            continue
        before = torch.get_rng_state()
        one, other = (pull.settle(50, seeded(0)) for _ in range(2))
        require(torch.equal(one, other), "settle draws others from the same generator")
        require(torch.equal(torch.get_rng_state(), before), "settle draws from torch's, too")
        require_law(
            pull.settle(10_000, seeded(1)),
            lambda z: -pull.weight * pull(z),  # noqa: B023
            f"{_on(pull)} settled latents",
        )


@_check
def rows_are_independent(make: Make) -> None:
    """A row has the same value alone and within a batch, again, and after eval()."""
    for pull in map(torch.nn.Module.double, make(_DIM)):
        z = 2 * pull.latent.sample(100)
        values = pull(z)
        alone = torch.cat([pull(row[None]) for row in z[:5]])
        require(equal(alone, values[:5]), "the value of a row depends on the others")
        require(equal(pull.eval()(z), values), "the values are others after eval()")
        require(pull(z[:0]).shape == (0,), "no rows do not give no values")


@_check
def leaves_its_input_alone(make: Make) -> None:
    """It does not change the latents that it is given."""
    for pull in make(_DIM):
        z = 2 * pull.latent.sample(100)
        require_untouched({"the input": z}, lambda: pull(z))  # noqa: B023


@_check
def convex_on_support(make: Make) -> None:
    """Midpoints of chords within the support lie on or below them."""
    for dim in (1, 2, 5):
        for pull in make(dim):
            reason = convexity_violation(pull.double())
            require(reason is None, f"{_on(pull)} in D = {dim} it is {reason}")


@_check
def convex_across_the_boundary(make: Make) -> None:
    """Midpoints of short chords across the boundary lie on or below them, too."""
    for dim in (1, 2, 5):
        for pull in map(torch.nn.Module.double, make(dim)):
            middle = pull.latent.boundary(2000)
            for length in (0.3, 0.1, 0.01):
                step = length * torch.randn_like(middle)
                chord = (pull(middle + step) + pull(middle - step)) / 2
                excess = float((pull(middle) - chord).max())
                require(
                    excess < 1e-12 * (1 + float(chord.abs().max())),
                    f"{_on(pull)} in D = {dim} it bends down by {excess:.2g} at the boundary, "
                    f"on chords of {length}",
                )


@_check
def grows_outward(make: Make) -> None:
    """It grows along the outward normals of the support's boundary."""
    for dim in (1, 2, 5, 8):
        for pull in make(dim):
            reason = outward_violation(pull.double())
            require(reason is None, f"{_on(pull)} in D = {dim} it is {reason}")


@_check
def confines(make: Make) -> None:
    """It grows without bound along every ray: each factor of 10 adds as much as the last."""
    direction = torch.randn(100, _DIM, dtype=torch.float64)
    for pull in map(torch.nn.Module.double, make(_DIM)):
        values = torch.stack([pull(10.0**k * direction) for k in (3, 4, 5, 6)])
        growth = values.diff(dim=0)
        require((growth > 0).all(), "it does not grow along a ray from 1e3 to 1e6")
        require((growth[-1] > 0.9 * growth[0]).all(), "its growth along a ray comes to an end")


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh pull of the same options is the same once it has loaded the state."""
    for i, pull in enumerate(make(_DIM)):
        z = pull.latent.sample(100)
        fresh = reloaded(pull, lambda: make(_DIM)[i])  # noqa: B023
        require(
            torch.equal(pull(z), fresh(z)),
            "values differ after loading; register what they need as buffers",
        )
        require(torch.equal(copy.deepcopy(pull)(z), pull(z)), "a deep copy has other values")
        require_registered(pull, lambda module: module(z))  # noqa: B023


@_check
def follows_device_and_dtype(make: Make) -> None:
    """It computes on the device and in the dtype that it was moved to."""
    for pull in make(_DIM):
        for dtype in (torch.float64, torch.float32):
            found = pull.to(dtype)(torch.zeros(4, _DIM, dtype=dtype)).dtype
            require(found == dtype, f"values are {found} after .to({dtype})")
    on_meta([(f"the value {_on(pull)}", _Meta(pull)) for pull in make(_DIM)])


class _Meta:
    """Calls a pull on the device without memory."""

    def __init__(self, pull: Pull) -> None:
        self.pull = pull.to("meta")

    def __call__(self) -> Tensor:
        value: Tensor = self.pull(torch.zeros(4, _DIM, device="meta"))
        return value


def _on(pull: Pull) -> str:
    return f"on {type(pull.latent).__name__}"
