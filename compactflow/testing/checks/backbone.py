"""The checks of a backbone: its map and inverse here, its faster methods in `passes`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pushes.stein import Stein
from compactflow.testing.checks import context, passes
from compactflow.testing.results import Checks, collect, require
from compactflow.testing.tools import (
    equal,
    on_meta,
    perturb,
    reloaded,
    require_finite,
    require_registered,
    require_slope,
    require_untouched,
    short_training,
    started,
    trained,
)
from compactflow.training.optimisation import make_optimizer
from compactflow.training.stack import Stack

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Backbone]

_DIM, _WIDE = 3, 8
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}  # of a round trip, relative
_FAR = 1e-6  # likewise in float64, in which rows are scored, up to a million units away


@_check
def dimensions(make: Make) -> None:
    """It can be made in 1, 2 and 5 dimensions, each with an inverse, and not in 0."""
    for dim in (1, 2, 5):
        backbone = perturb(make(dim)).double()
        require(backbone.dim == dim, f"dim is {backbone.dim} for dimension {dim}")
        _require_round_trip(backbone, f"in D = {dim}")
    try:
        make(0)
    except ValueError:
        return
    require(False, "dim=0 is accepted; raise ValueError")


@_check
def inverse_undoes_forward(make: Make) -> None:
    """The round trip returns to 1e-4 in float32 and to 1e-9 in float64, in 3, 8 and 17 D."""
    for dim in (_DIM, _WIDE, 17):
        for dtype in _TOLERANCE:
            _require_round_trip(perturb(make(dim)).to(dtype), f"in D = {dim} and {dtype}")


@_check
def inverse_undoes_forward_after_training(make: Make) -> None:
    """The same after 10 steps of training with the Stein push."""
    latent, x = Cube(_DIM), torch.randn(256, _DIM)
    flow = CompactFlow(make(_DIM), latent)
    short_training([flow], x, Barrier(latent), Stein(), steps=10)
    for dtype in _TOLERANCE:
        _require_round_trip(flow.backbone.to(dtype), f"in {dtype} after training")


@_check
def inverse_undoes_forward_far_away(make: Make) -> None:
    """The round trip from 10, 1e3 and 1e6 returns to 1e-6, relatively, in float64."""
    backbone, x = _sample(make)
    for scale in (10.0, 1e3, 1e6):
        _require_round_trip(backbone, f"at {scale:.0e}", scale * x, _FAR)


@_check
def finite_far_away(make: Make) -> None:
    """Both directions are finite a million units away, and at 0."""
    for dtype in _TOLERANCE:
        backbone = perturb(make(_DIM)).to(dtype)
        far = 1e6 * torch.randn(64, _DIM, dtype=dtype)
        far[-1] = 0
        with torch.no_grad():
            require_finite(
                f"at 1e6 or 0 in {dtype}", forward=backbone(far), inverse=backbone.inverse(far)
            )


@_check
def start_leaves_the_answer(make: Make) -> None:
    """The inverse takes a `start`, and gives the same answer from any."""
    backbone, x = _sample(make)
    with torch.no_grad():
        z = backbone(x)
        answer = backbone.inverse(z)
        for name, start in (("the answer", x), ("zeros", torch.zeros_like(x))):
            found = backbone.inverse(z, start=start)
            require(equal(found, answer), f"starting from {name} changes the inverse")


@_check
def gradients_reach_parameters(make: Make) -> None:
    """A loss on the latents moves every trainable parameter."""
    backbone, x = _sample(make)
    parameters = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    require(parameters, "it has no parameters to train")
    (backbone(x) * torch.randn_like(x)).sum().backward()
    still = [n for n, p in parameters.items() if p.grad is None or not p.grad.any()]
    require(not still, f"no gradient reaches {', '.join(still)}")
    bad = [n for n, p in parameters.items() if p.grad is None or not p.grad.isfinite().all()]
    require(not bad, f"the gradient is not finite for {', '.join(bad)}")


@_check
def gradients_are_slopes(make: Make) -> None:
    """The gradients of the latents, for parameters and inputs, are the slopes of their values.

    So is that of the inverse for the latents, if it has one.
    """
    backbone, x = _sample(make)
    weights = torch.randn_like(x)

    def value() -> Tensor:
        return (weights * backbone(x)).sum()

    named = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    parts = torch.autograd.grad(value(), list(named.values()), materialize_grads=True)
    for (name, parameter), part in zip(named.items(), parts, strict=True):
        require_slope(name, value, [parameter], [part])
    z = backbone(x).detach().requires_grad_()
    if backbone.inverse(z).requires_grad:
        require_slope("the inverse", lambda: (weights * backbone.inverse(z)).sum(), [z])
    require_slope("the input", value, [x.requires_grad_()])


@_check
def rows_are_independent(make: Make) -> None:
    """A row maps to the same alone and within 1,000 rows, both ways; no row gives none."""
    backbone, _ = _sample(make)
    x = torch.randn(1000, _DIM, dtype=torch.float64)
    with torch.no_grad():
        for name, map_ in (("forward", backbone), ("inverse", backbone.inverse)):
            alone = torch.cat([map_(row[None]) for row in x[:5]])
            require(equal(alone, map_(x)[:5]), f"{name} of a row depends on the others")
            none = map_(x[:0])
            require(none.shape == (0, _DIM), f"{name} of no rows has shape {tuple(none.shape)}")


@_check
def evaluates_as_it_trains(make: Make) -> None:
    """It maps alike whenever it is called, after eval() as after train(), both ways."""
    backbone, x = _sample(make)

    with torch.no_grad():
        z = backbone(x)
        for name, module in (("again", backbone), ("after eval()", backbone.eval())):
            require(equal(module(x), z), f"forward is another {name}")
            require(equal(module.inverse(z), x, 1e-7), f"inverse is another {name}")


@_check
def precisions_agree(make: Make) -> None:
    """In float32 it maps as in float64, to 1e-3, both ways."""
    backbone, x = _sample(make)
    single = copy.deepcopy(backbone).float()
    with torch.no_grad():
        z = backbone(x)
        require(equal(single(x.float()).double(), z, 1e-3), "forward is another in float32")
        require(equal(single.inverse(z.float()).double(), x, 1e-3), "inverse is another")


@_check
def leaves_its_input_alone(make: Make) -> None:
    """Neither direction changes its input."""
    backbone, x = _sample(make)
    with torch.no_grad():
        z = backbone(x)
        require_untouched({"the input of forward": x}, lambda: backbone(x))
        latents = {"the input of inverse": z, "start": x}
        require_untouched(latents, lambda: backbone.inverse(z, start=x))


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh backbone of the same options is the same once it has loaded the state."""
    backbone = perturb(make(_WIDE))  # where two random permutations are hardly ever the same
    x = torch.randn(16, _WIDE)
    with torch.no_grad():
        z = started(backbone)(x)
        fresh = reloaded(backbone, lambda: make(_WIDE))
        require(
            torch.equal(z, fresh(x)),
            "latents differ after loading; register what they need as parameters or buffers",
        )
        require_registered(backbone, lambda module: module(x))


@_check
def copies_are_independent(make: Make) -> None:
    """A deep copy maps alike, and training it leaves the original as it was."""
    backbone, x = _sample(make)
    with torch.no_grad():
        z = backbone(x)
        copied = copy.deepcopy(backbone)
        require(torch.equal(copied(x), z), "a deep copy maps differently")
        perturb(copied)
        require(torch.equal(backbone(x), z), "changing a deep copy changes the original")


@_check
def runs_side_by_side(make: Make) -> None:
    """In an ensemble each network maps its rows as it does alone: else `parallel` is not so."""
    networks = [perturb(make(_DIM)).double() for _ in range(2)]
    x = torch.randn(16, _DIM, dtype=torch.float64)
    stack = Stack(networks)
    with torch.no_grad():
        z = stack(x)
        alone = torch.stack([one(x[m::2]) for m, one in enumerate(networks)], dim=1).flatten(0, 1)
        require(equal(z, alone), "two networks side by side map differently")
        decoded = stack.inverse(z)
        require(
            equal(decoded, x, 1e-8), "two networks side by side do not invert each other's map"
        )
    recoded = stack.recode(z, start=x)
    require(equal(recoded, z, 1e-8), "two networks side by side recode latents to others")


@_check
def trains_side_by_side(make: Make) -> None:
    """Two networks that trained as one map as the one did when they are taken apart."""
    networks = [perturb(make(_DIM)) for _ in range(2)]
    frozen = [[p.clone() for p in one.parameters() if not p.requires_grad] for one in networks]
    stack = Stack(networks)
    require(trained(stack), "it has no parameters to train")
    optimizer = make_optimizer("sgd", trained(stack), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        stack(torch.randn(32, _DIM)).square().mean().backward()
        optimizer.step()
    x = torch.randn(16, _DIM)
    stack.unstack(networks)
    with torch.no_grad():
        z = stack(x)
        for m, network in enumerate(networks):
            require(equal(network(x[m::2]), z[m::2], 1e-5), "apart they map differently")
            still = [p for p in network.parameters() if not p.requires_grad]
            require(all(map(torch.equal, still, frozen[m])), "a frozen parameter has trained")


@_check
def follows_device_and_dtype(make: Make) -> None:
    """It computes on the device and in the dtype that it was moved to."""
    backbone = make(_DIM)
    with torch.no_grad():
        for dtype in (torch.float64, torch.float32):
            x = torch.zeros(4, _DIM, dtype=dtype)
            for name, map_ in (("forward", backbone.to(dtype)), ("inverse", backbone.inverse)):
                found = map_(x).dtype
                require(found == dtype, f"{name} is {found} after .to({dtype})")
        backbone.to("meta")
        x = torch.zeros(4, _DIM, device="meta")
        # The inverse may iterate until values are small, which meta tensors do not have.
        on_meta([("forward", lambda: backbone(x))])


CHECKS |= passes.CHECKS | context.CHECKS


def _sample(make: Make) -> tuple[Backbone, Tensor]:
    """A perturbed backbone in float64, and data."""
    backbone = started(perturb(make(_DIM)).double())
    return backbone, torch.randn(64, _DIM, dtype=torch.float64)


@torch.no_grad()
def _require_round_trip(
    backbone: Backbone, when: str, x: Tensor | None = None, tolerance: float | None = None
) -> None:
    if x is None:
        dtype = next(backbone.parameters(), torch.zeros(())).dtype
        x = 2 * torch.randn(64, backbone.dim, dtype=dtype)
    tolerance = tolerance or _TOLERANCE[x.dtype]
    z = backbone(x)
    require(z.shape == x.shape, f"forward of {tuple(x.shape)} is {tuple(z.shape)} {when}")
    error = float((backbone.inverse(z) - x).norm() / x.norm())
    require(
        error <= tolerance,
        f"inverse(forward(x)) is off by {error:.2g}, not within {tolerance:.0e}, {when}",
    )
