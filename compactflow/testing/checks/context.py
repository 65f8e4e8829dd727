"""The checks of what a backbone does with a context, if it takes one."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given, takes_context
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pushes.stein import Stein
from compactflow.testing.checks.detector import Maker
from compactflow.testing.checks.passes import exact_log_abs_det
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import equal, gradient, perturb, short_training
from compactflow.training.stack import Stack

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Maker

_DIM, _CONTEXT = 3, 2


@_check
def context_round_trip(make: Make) -> None:
    """Given a context the round trip returns to 1e-9 in float64, from any start."""
    given, x = _given(make)
    with torch.no_grad():
        z = given(x)
        require(z.shape == x.shape, f"forward of {tuple(x.shape)} is {tuple(z.shape)}")
        for start in (None, torch.zeros_like(x)):
            require(equal(given.inverse(z, start=start), x), "the inverse is another")


@_check
def context_log_abs_det(make: Make) -> None:
    """Given a context log_abs_det is that of the Jacobian by automatic differentiation."""
    given, x = _given(make)
    try:
        found = given.log_abs_det(x).detach()
    except NotImplementedError as error:
        raise SkipCheck(f"it has no log_abs_det: {error}") from error
    exact = exact_log_abs_det(given, x).detach()
    require(equal(found, exact, 1e-6), "log_abs_det is another")
    z, both = given.forward_and_log_abs_det(x)
    require(equal(z.detach(), given(x).detach()), "with log_abs_det the latents are others")
    require(equal(both.detach(), found), "with the latents log_abs_det is another")


@_check
def context_gradients(make: Make) -> None:
    """Given a context recode and forward_and_divergence have the latents' gradients."""
    given, x = _given(make)
    backbone, weights = given.inner, torch.randn_like(x)
    exact = gradient((weights * given(x)).sum(), backbone)
    recoded = given.recode(given(x).detach(), start=x)
    require(equal(gradient((weights * recoded).sum(), backbone), exact, 1e-5), "recode's is other")
    z, divergence = given.forward_and_divergence(x, 0.1)
    require(divergence.shape == (len(x),), f"{len(x)} rows give {tuple(divergence.shape)}")
    require(equal(gradient((weights * z).sum(), backbone), exact, 1e-7), "divergence's is other")


@_check
def context_counts(make: Make) -> None:
    """What it has learned in 10 steps depends on the context: rows that lie there go inside."""
    backbone, latent = _make(make), Cube(_DIM)
    context = torch.randint(2, (512, _CONTEXT)).float()
    x = 0.2 * torch.randn(512, _DIM) + 2 * context[:, :1] - 1
    flow = CompactFlow(backbone, latent)
    rows = torch.cat([x, context], dim=1)
    short_training([flow], rows, Barrier(latent), Stein(), steps=10)
    with torch.no_grad():
        own, other = Given(backbone, context), Given(backbone, 1 - context)
        moved = float((own(x) - other(x)).norm() / own(x).norm())
    require(moved > 0.01, f"another context changes the latents by {moved:.1g} of their size")


@_check
def context_of_other_rows(make: Make) -> None:
    """A row maps to the same alone and within a batch, both ways, whatever contexts it has."""
    given, x = _given(make)
    with torch.no_grad():
        z, decoded = given(x), given.inverse(x)
        for i in range(4):
            one = _row(given, i)
            require(equal(one(x[i : i + 1])[0], z[i]), "forward depends on others' contexts")
            require(equal(one.inverse(x[i : i + 1])[0], decoded[i]), "inverse depends on others'")


@_check
def context_side_by_side(make: Make) -> None:
    """In an ensemble each network maps its rows as it does alone, given their contexts."""
    networks = [perturb(_make(make)).double() for _ in range(2)]
    _, x = _given(make)
    context = torch.randn(len(x), _CONTEXT, dtype=torch.float64)
    with torch.no_grad():
        z = Given(Stack(networks), context)(x)
        for m, network in enumerate(networks):
            alone = Given(network, context[m::2])(x[m::2])
            require(equal(alone, z[m::2]), "two networks side by side map differently")


def _make(make: Make) -> Backbone:
    if not takes_context(make.build):
        raise SkipCheck("it takes no context: its constructor has no argument `context`")
    backbone: Backbone = make(_DIM, context=_CONTEXT)
    require(
        backbone.context == _CONTEXT,
        f"made with context={_CONTEXT} its attribute context is {backbone.context}: give it to "
        "super().__init__(dim, context)",
    )
    return backbone


def _given(make: Make) -> tuple[Given, Tensor]:
    """A perturbed backbone in float64, given contexts, and data."""
    backbone = perturb(_make(make)).double()
    context = torch.randn(16, _CONTEXT, dtype=torch.float64)
    given = Given(backbone, context)
    x = torch.randn(16, _DIM, dtype=torch.float64)
    with torch.no_grad():
        given(x)  # with which an ActNorm for example starts
    return given, x


def _row(given: Given, i: int) -> Given:
    return Given(given.inner, given.context_of_rows[i : i + 1])
