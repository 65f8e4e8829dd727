"""The checks of a score, by a flow on small data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.flows.scores import Score
from compactflow.latents.cube import Cube
from compactflow.preprocessing.linear import Standardise
from compactflow.pulls.barriers import Barrier
from compactflow.pulls.base import Pull
from compactflow.testing.results import Checks, collect, require
from compactflow.testing.tools import (
    equal,
    perturb,
    reloaded,
    require_finite,
    require_registered,
    require_untouched,
)

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Score]

_DIM = 3
_ROWS = 200


@_check
def dimensions(make: Make) -> None:
    """It has one finite score per row in 1, 2 and 5 dimensions, of one row and of none, too."""
    for dim in (1, 2, 5):
        flow, pull, x = _setting(dim)
        score = _fitted(make, flow, pull, x)
        require(score.dim == dim, f"dim is {score.dim} for dimension {dim}")
        for n in (7, 1, 0):
            found = score(flow, pull, x[:n])
            require(found.shape == (n,), f"{n} rows give {tuple(found.shape)}, in D = {dim}")
            require_finite(f"in D = {dim}", score=found)


@_check
def ranks_outliers_last(make: Make) -> None:
    """Rows far from all others have higher scores than nearly all rows, the farther the higher."""
    flow, pull, x = _setting(_DIM)
    score = _fitted(make, flow, pull, x)
    usual = score(flow, pull, x).quantile(0.95)
    direction = torch.nn.functional.normalize(torch.randn(50, _DIM, dtype=torch.float64))
    near, far = (score(flow, pull, _far(x, 10.0**k * direction)) for k in (2, 4))
    require((near > usual).all(), "rows a hundred deviations away do not score above usual ones")
    require((far > near).all(), "rows farther away do not score higher")


@_check
def finite_far_away(make: Make) -> None:
    """Scores are finite a million units away, in both precisions."""
    flow, pull, x = _setting(_DIM)
    score = _fitted(make, flow, pull, x)
    direction = torch.nn.functional.normalize(torch.randn(50, _DIM, dtype=torch.float64))
    for dtype in (torch.float64, torch.float32):
        for module in (flow, pull, score):
            module.to(dtype)
        found = score(flow, pull, _far(x, 1e6 * direction).to(dtype))
        require(found.dtype == dtype, f"scores are {found.dtype} after .to({dtype})")
        require_finite(f"at 1e6 in {dtype}", score=found)


@_check
def rows_are_independent(make: Make) -> None:
    """A row has the same score alone and within a batch, again, and after eval()."""
    flow, pull, x = _setting(_DIM)
    score = _fitted(make, flow, pull, x)
    values = score(flow, pull, x)
    alone = torch.cat([score(flow, pull, row[None]) for row in x[:5]])
    require(equal(alone, values[:5], 1e-7), "the score of a row depends on the other rows")
    require(equal(score(flow, pull, x), values), "the scores are others when asked again")
    require(equal(score.eval()(flow, pull, x), values), "the scores are others after eval()")


@_check
def a_fit_starts_anew(make: Make) -> None:
    """A fit is decided by the data and the flow: not by chance, nor by an earlier fit."""
    flow, pull, x = _setting(_DIM)
    score = _fitted(make, flow, pull, x)
    expected = score(flow, pull, x)
    torch.default_generator.manual_seed(1)
    other = _fitted(make, flow, pull, x)
    require(equal(other(flow, pull, x), expected), "two fits to one data differ; x is shuffled")
    later = 2 * x[: _ROWS // 2] + 1
    other.fit(flow, pull, later)
    fresh = _fitted(make, flow, pull, later)(flow, pull, x)
    require(equal(other(flow, pull, x), fresh), "a second fit is not to its data")
    other.fit(flow, pull, x)
    require(equal(other(flow, pull, x), expected), "a fit depends on an earlier one")


@_check
def leaves_its_inputs_alone(make: Make) -> None:
    """Neither fit nor a score changes rows, flow or pull."""
    flow, pull, x = _setting(_DIM)
    score = make(_DIM).double()
    state = {"the rows": x, **flow.state_dict(), **pull.state_dict()}
    require_untouched(state, lambda: score.fit(flow, pull, x))
    require_untouched(state, lambda: score(flow, pull, x))


@_check
def combines_flows(make: Make) -> None:
    """`combine` gives flows of equal scores these; neither their order nor other rows count."""
    score = make(_DIM)
    one = torch.randn(20, dtype=torch.float64)
    for members in (1, 4):
        found = score.combine(one.expand(members, -1))
        require(found.shape == one.shape, f"combine of {members} flows has {tuple(found.shape)}")
        require(equal(found, one), f"{members} flows of equal scores are combined to others")
    several = torch.randn(4, 20, dtype=torch.float64)
    found = score.combine(several)
    require(equal(score.combine(several.flip(0)), found), "combine depends on the flows' order")
    require(equal(score.combine(several[:, :5]), found[:5]), "combine of a row depends on others")


@_check
def natural_is_the_support(make: Make) -> None:
    """A score that says `natural` is at most 0 just in the latent's support."""
    flow, pull, x = _setting(_DIM)
    score = _fitted(make, flow, pull, x)
    if not score.natural:
        return
    x = torch.cat([x, _far(x, torch.randn(50, _DIM, dtype=torch.float64))])
    agree = (score(flow, pull, x) <= 0) == (flow.signed_distance(x) <= 0)
    require(agree.all(), "it says `natural`, and is not at most 0 just in the support")


@_check
def state_survives_saving(make: Make) -> None:
    """A fresh score of the same options is the same once loaded and attached to the flow."""
    flow, pull, x = _setting(_DIM)
    score = _fitted(make, flow, pull, x)
    fresh = reloaded(score, lambda: make(_DIM).double())
    fresh.attach(flow)
    expected = score(flow, pull, x)
    require(
        equal(fresh(flow, pull, x), expected),
        "scores differ after loading; register what they need as buffers",
    )
    require(equal(copy.deepcopy(score)(flow, pull, x), expected), "a deep copy scores otherwise")
    require_registered(score, lambda module: module(flow, pull, x))


def _setting(dim: int) -> tuple[CompactFlow, Pull, Tensor]:
    """A flow behind a first layer that is not the identity, its pull, and data ``(N, D)``."""
    x = torch.randn(_ROWS, dim, dtype=torch.float64)
    x = x * 10.0 ** torch.linspace(-1, 2, dim, dtype=torch.float64) + 5
    layer = Standardise(dim)
    layer.fit(x.numpy())
    flow = CompactFlow(perturb(Coupling(dim, blocks=2, width=8)), Cube(dim), layer).double()
    return flow.eval().requires_grad_(False), Barrier(flow.latent), x


def _fitted(make: Make, flow: CompactFlow, pull: Pull, x: Tensor) -> Score:
    score = make(x.shape[1]).double()
    score.fit(flow, pull, x)
    return score


def _far(x: Tensor, by: Tensor) -> Tensor:
    """Rows that many deviations from the middle of x."""
    return x.mean(dim=0) + by * x.std(dim=0)
