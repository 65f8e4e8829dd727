"""The checks of a pull."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from compactflow.pulls.base import Pull
from compactflow.pushes.theory import convexity_violation, outward_violation
from compactflow.testing.results import Checks, collect, require
from compactflow.testing.tools import on_meta, reloaded, require_finite

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Pull]

_DIM = 3


@_check
def dimensions(make: Make) -> None:
    """It has one finite value per row in 1, 2 and 5 dimensions."""
    for dim in (1, 2, 5):
        pull = make(dim)
        value = pull(pull.latent.sample(7))
        require(value.shape == (7,), f"7 rows give {tuple(value.shape)}, not (7,), in D = {dim}")
        require_finite(f"in D = {dim}", value=value)


@_check
def finite_far_away(make: Make) -> None:
    """Value and gradient are finite a million units away."""
    for dtype in (torch.float32, torch.float64):
        far = 1e6 * torch.randn(200, _DIM, dtype=dtype)
        value, gradient = make(_DIM).to(dtype).value_and_gradient(far)
        require_finite(f"at |z| = 1e6 in {dtype}", value=value, gradient=gradient)


@_check
def gradient_is_finite(make: Make) -> None:
    """The gradient is finite everywhere, also at 0 and on the boundary, where norms have kinks."""
    for dim in (1, 3):
        pull = make(dim).double()
        points = {
            "0": torch.zeros(1, dim, dtype=torch.float64),
            "samples": pull.latent.sample(200),
            "the boundary": pull.latent.boundary(200),
        }
        for name, z in points.items():
            _, gradient = pull.value_and_gradient(z)
            require_finite(f"at {name} in D = {dim}", gradient=gradient)


@_check
def convex_on_support(make: Make) -> None:
    """Midpoints of chords within the support lie on or below them."""
    for dim in (1, 2, 5):
        reason = convexity_violation(make(dim).double())
        require(reason is None, f"in D = {dim} it is {reason}")


@_check
def grows_outward(make: Make) -> None:
    """It grows along the outward normals of the support's boundary."""
    for dim in (1, 2, 5):
        reason = outward_violation(make(dim).double())
        require(reason is None, f"in D = {dim} it is {reason}")


@_check
def confines(make: Make) -> None:
    """It grows without bound along every ray: each factor of 10 adds as much as the last."""
    pull = make(_DIM).double()
    direction = torch.randn(100, _DIM, dtype=torch.float64)
    values = torch.stack([pull(10.0**k * direction) for k in (3, 4, 5, 6)])
    growth = values.diff(dim=0)
    require((growth > 0).all(), "it does not grow along a ray from 1e3 to 1e6")
    require((growth[-1] > 0.9 * growth[0]).all(), "its growth along a ray comes to an end")


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh pull of the same options is the same once it has loaded the state."""
    pull = make(_DIM)
    z = pull.latent.sample(100)
    fresh = reloaded(pull, lambda: make(_DIM))
    require(
        torch.equal(pull(z), fresh(z)),
        "values differ after loading; register what they need as buffers",
    )


@_check
def follows_device_and_dtype(make: Make) -> None:
    """It computes on the device and in the dtype that it was moved to."""
    pull = make(_DIM)
    for dtype in (torch.float64, torch.float32):
        found = pull.to(dtype)(torch.zeros(4, _DIM, dtype=dtype)).dtype
        require(found == dtype, f"values are {found} after .to({dtype})")
    pull.to("meta")
    on_meta([("the value", lambda: pull(torch.zeros(4, _DIM, device="meta")))])
