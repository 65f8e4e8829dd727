"""The checks of a latent as a component; its support is in `support`, `levels`, `distribution`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.plugins import registry
from compactflow.pushes.theory import outward_violation
from compactflow.testing.checks import distribution, levels, support
from compactflow.testing.checks.distribution import (
    require_density,
    require_inside,
    require_law,
)
from compactflow.testing.checks.points import around
from compactflow.testing.checks.support import Make
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

CHECKS: Checks = support.CHECKS | levels.CHECKS | distribution.CHECKS
_check = collect(CHECKS)


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
def pulls_serve(make: Make) -> None:
    """Its default_pull and confining_pull name pulls that rise outward at its boundary.

    Their gradients are finite, at 0 too, and the edge is positive and no wider than the support.
    """
    for dim in (2, 3):
        latent = make(dim).double()
        widest = 3 * float(latent.sample(1000).std(dim=0).max())
        require(0 < latent.edge <= widest, f"edge is {latent.edge:.3g}: beyond 0 and {widest:.3g}")
        points = torch.cat([latent.sample(50), latent.boundary(50), latent.like.new_zeros(1, dim)])
        for attribute in ("default_pull", "confining_pull"):
            pull = registry.load("pull", getattr(latent, attribute))(latent)
            value, gradient = pull.value_and_gradient(points)
            require_finite(f"for its {attribute}", value=value, gradient=gradient)
            reason = outward_violation(pull)
            require(reason is None, f"its {attribute} is {reason}")


@_check
def gradients_are_slopes(make: Make) -> None:
    """The gradient of the signed distance is the slope of its values, inside and outside."""
    latent = make(3).double()
    for z in around(latent, 12):
        row = z[None].requires_grad_()
        require_slope("the signed distance", lambda: latent.signed_distance(row).sum(), [row])  # noqa: B023


@_check
def rows_are_independent(make: Make) -> None:
    """A row has the same values alone and within a batch, again, and after eval()."""
    latent = make(3).double()
    z = torch.cat([around(latent, 50), 1e3 * around(latent, 5)])
    for name in ("signed_distance", "constraints", "project", "log_prob"):
        call = getattr(latent.train(), name)
        values = call(z)
        alone = torch.cat([call(row[None]) for row in z[-10:]])
        require(_same(alone, values[-10:]), f"{name} of a row depends on the others")
        require(_same(call(z), values), f"{name} is another when it is called again")
        none = call(z[:0])
        require(none.shape == values[:0].shape, f"{name} of no rows is {tuple(none.shape)}")
        latent.eval()
        require(_same(call(z), values), f"{name} is another after eval()")


@_check
def adapts_to_data(make: Make) -> None:
    """What `adapt` sets is saved, in whatever shape, and stays a support with its distribution.

    It is decided by the data and torch's random state, not by an earlier call.
    """
    latent = make(3)
    if type(latent).adapt is Latent.adapt:
        return
    x = torch.cat([torch.randn(60, 3), 0.5 * torch.randn(60, 3) + 4])

    def adapted(to: Latent) -> Tensor | None:
        torch.default_generator.manual_seed(1)
        return to.adapt(x)

    require_untouched({"the data": x}, lambda: adapted(latent))
    anchors = adapted(fresh := make(3))
    if anchors is not None:
        require(anchors.shape == x.shape, f"anchors of {tuple(x.shape)} are {anchors.shape}")
        require_finite("of data", anchors=anchors)
    _require_same(latent, fresh, x, "two adaptations to the same data differ")
    adapted(latent)
    _require_same(latent, fresh, x, "an adaptation depends on an earlier one: start anew")
    _require_same(
        latent,
        reloaded(latent, lambda: make(3)),
        x,
        "what adapt sets is lost in saving; register it by register_buffer in __init__",
    )
    _require_support(latent.double())


def _require_same(one: Latent, other: Latent, z: Tensor, message: str) -> None:
    """Fail unless two latents have the same distances and densities."""
    same = _same(one.signed_distance(z), other.signed_distance(z))
    require(same and _same(one.log_prob(z), other.log_prob(z)), message)


def _require_support(latent: Latent) -> None:
    """Fail unless an adapted latent is a support with its distribution."""
    require_inside(latent, " after adapt")
    require_density(latent, "after adapt")
    require_law(latent.sample(20_000), latent.log_prob, "after adapt the samples")
    worst = float(latent.signed_distance(latent.boundary(200)).abs().max())
    require(worst < 1e-6, f"a boundary point has signed distance {worst:.2g} after adapt")
    z = around(latent, 500)
    nearest, inside = latent.project(z), latent.signed_distance(z) <= 0
    worst = float(latent.signed_distance(nearest).max())
    require(worst < 1e-6, f"a projection has signed distance {worst:.2g} after adapt")
    require(equal(nearest[inside], z[inside]), "points inside move when projected after adapt")


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether values agree, infinite ones too."""
    return torch.allclose(one, other, rtol=1e-9, atol=1e-9)


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
