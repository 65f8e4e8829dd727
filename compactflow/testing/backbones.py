"""The checks of a backbone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.backbones.stack import Stack
from compactflow.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pushes.stein import Stein
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import (
    equal,
    on_meta,
    perturb,
    reloaded,
    require_finite,
    short_training,
)

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Backbone]

_DIM = 3
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}  # of a round trip, relative


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
    """The round trip returns to 1e-4 in float32 and to 1e-9 in float64, relatively."""
    for dtype in _TOLERANCE:
        _require_round_trip(perturb(make(_DIM)).to(dtype), f"in {dtype}")


@_check
def inverse_undoes_forward_after_training(make: Make) -> None:
    """The same after 30 steps of training with the Stein push."""
    for dtype in _TOLERANCE:
        latent = Cube(_DIM).to(dtype)
        flow = CompactFlow(make(_DIM).to(dtype), latent)
        x = torch.randn(256, _DIM, dtype=dtype)
        short_training(flow, x, Barrier(latent), Stein(), steps=30)
        _require_round_trip(flow.backbone, f"in {dtype} after training")


@_check
def finite_far_away(make: Make) -> None:
    """Both directions are finite a million units away."""
    for dtype in _TOLERANCE:
        backbone = perturb(make(_DIM)).to(dtype)
        far = 1e6 * torch.randn(64, _DIM, dtype=dtype)
        with torch.no_grad():
            require_finite(
                f"at 1e6 in {dtype}", forward=backbone(far), inverse=backbone.inverse(far)
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
    (backbone(x) * torch.randn_like(x)).sum().backward()
    parameters = {n: p for n, p in backbone.named_parameters() if p.requires_grad}
    require(parameters, "it has no parameters to train")
    still = [n for n, p in parameters.items() if p.grad is None or not p.grad.any()]
    require(not still, f"no gradient reaches {', '.join(still)}")
    bad = [n for n, p in parameters.items() if p.grad is None or not p.grad.isfinite().all()]
    require(not bad, f"the gradient is not finite for {', '.join(bad)}")


@_check
def rows_are_independent(make: Make) -> None:
    """A row maps to the same alone and within a batch, both ways."""
    backbone, x = _sample(make)
    with torch.no_grad():
        for name, map_ in (("forward", backbone), ("inverse", backbone.inverse)):
            alone = torch.cat([map_(row[None]) for row in x[:5]])
            require(equal(alone, map_(x)[:5]), f"{name} of a row depends on the others")


@_check
def log_abs_det_is_autograds(make: Make) -> None:
    """log_abs_det is that of the Jacobian by automatic differentiation, in float64."""
    backbone, x = _sample(make)
    try:
        found = backbone.log_abs_det(x[:4]).detach()
    except NotImplementedError as error:
        raise SkipCheck(f"it has no log_abs_det: {error}") from error
    require(found.shape == (4,), f"4 rows give {tuple(found.shape)}, not (4,)")
    # Row by row, as not every operation can be batched by torch.func.vmap.
    exact = torch.stack([_log_abs_det(backbone, row) for row in x[:4]]).detach()
    worst = float((found - exact).abs().max())
    require(worst < 1e-6, f"log_abs_det is off by {worst:.2g}")


@_check
def divergence_spreads_as_the_log_det_does(make: Make) -> None:
    """The gradient of forward_and_divergence is, in the mean, that of log |det ∂T/∂x|."""
    backbone, x = _sample(make)
    x = x[:8]
    parameters = [p for p in backbone.parameters() if p.requires_grad]

    def gradient(value: Tensor) -> Tensor:
        parts = torch.autograd.grad(value, parameters, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    exact = gradient(torch.stack([_log_abs_det(backbone, row) for row in x]).mean())
    rows = x.repeat(500, 1)
    z, divergence = backbone.forward_and_divergence(rows, 1e-3)
    require(equal(z, backbone(rows)), "the latents are not those of forward")
    require(divergence.shape == (len(rows),), f"{len(rows)} rows give {tuple(divergence.shape)}")
    found = torch.stack(
        [gradient(backbone.forward_and_divergence(rows, 1e-3)[1].mean()) for _ in range(10)]
    )
    error = float((found.mean(dim=0) - exact).norm())
    noise = float(found.std(dim=0).norm()) / len(found) ** 0.5
    allowed = 0.05 * float(exact.norm()) + 3 * noise
    require(error < allowed, f"its gradient is off that of the log-det by {error:.2g}")


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh backbone of the same options is the same once it has loaded the state."""
    backbone = perturb(make(_DIM))
    x = torch.randn(16, _DIM)
    fresh = reloaded(backbone, lambda: make(_DIM))
    with torch.no_grad():
        require(
            torch.equal(backbone(x), fresh(x)),
            "latents differ after loading; register what they need as parameters or buffers",
        )


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
    with torch.no_grad():
        stack = Stack(networks)
        z = stack(x)
        for m, network in enumerate(networks):
            require(equal(z[m::2], network(x[m::2])), "two networks side by side map differently")
        decoded = stack.inverse(z)
        require(
            equal(decoded, x, 1e-8), "two networks side by side do not invert each other's map"
        )
    recoded = stack.recode(z, start=x)
    require(equal(recoded, z, 1e-8), "two networks side by side recode latents to others")


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


def _sample(make: Make) -> tuple[Backbone, Tensor]:
    """A perturbed backbone in float64, and data."""
    return perturb(make(_DIM)).double(), torch.randn(64, _DIM, dtype=torch.float64)


def _log_abs_det(backbone: Backbone, row: Tensor) -> Tensor:
    """``log |det ∂T/∂x|`` at one row ``(D,)`` by automatic differentiation."""
    row = row.clone().requires_grad_()
    z = backbone(row[None])[0]
    slopes = [torch.autograd.grad(v, row, create_graph=True)[0] for v in z]
    jacobian = torch.stack(slopes)
    return torch.linalg.slogdet(jacobian).logabsdet


@torch.no_grad()
def _require_round_trip(backbone: Backbone, when: str) -> None:
    dtype = next(backbone.parameters(), torch.zeros(())).dtype
    x = 2 * torch.randn(64, backbone.dim, dtype=dtype)
    z = backbone(x)
    require(z.shape == x.shape, f"forward of {tuple(x.shape)} is {tuple(z.shape)} {when}")
    error = float((backbone.inverse(z) - x).norm() / x.norm())
    tolerance = _TOLERANCE[dtype]
    require(
        error <= tolerance,
        f"inverse(forward(x)) is off by {error:.2g}, not within {tolerance:.0e}, {when}",
    )
