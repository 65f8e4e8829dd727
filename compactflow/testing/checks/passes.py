"""The checks of what a backbone may override for speed, against what the base class computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.randomness import seeded
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import equal, gradient, perturb, started

__all__ = ["CHECKS", "exact_log_abs_det"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Backbone]

_DIM = 3
_NEAR = 1e-5  # σ of a divergence


@_check
def log_abs_det_is_autograds(make: Make) -> None:
    """log_abs_det is that of the Jacobian by autograd, near and far, and in 8 dimensions."""
    for dim, scales in ((_DIM, (1, 30, 1e3)), (8, (1,))):
        backbone = _sample(make, dim)
        for scale in scales:
            x = scale * torch.randn(4, dim, dtype=torch.float64)
            found = _log_abs_det(backbone, x).detach()
            require(found.shape == (4,), f"4 rows give {tuple(found.shape)}, not (4,)")
            worst, i = (found - exact_log_abs_det(backbone, x).detach()).abs().max(dim=0)
            require(
                worst < (1e-6 if scale == 1 else 1e-2),  # far, rounding grows
                f"log_abs_det is off by {worst:.2g} at {x[i].tolist()}",
            )
        again = _log_abs_det(backbone.eval(), x).detach()
        require(equal(again, found), "log_abs_det is another after eval()")


@_check
def log_abs_det_has_its_gradient(make: Make) -> None:
    """The gradient of log_abs_det is that of the Jacobian's by automatic differentiation."""
    backbone = _sample(make)
    x = torch.randn(4, _DIM, dtype=torch.float64)
    found = gradient(_log_abs_det(backbone, x).sum(), backbone)
    exact = gradient(exact_log_abs_det(backbone, x).sum(), backbone)
    require(equal(found, exact, 1e-6), "the gradient of log_abs_det is another")


@_check
def one_pass_gives_both(make: Make) -> None:
    """forward_and_log_abs_det gives what forward and log_abs_det do, with their gradients."""
    backbone = _sample(make)
    x = torch.randn(16, _DIM, dtype=torch.float64)
    weights, shares = torch.randn_like(x), torch.randn(16, dtype=torch.float64)
    try:
        z, log_abs_det = backbone.forward_and_log_abs_det(x)
    except NotImplementedError as error:
        raise SkipCheck(f"it has no log_abs_det: {error}") from error
    apart = backbone(x), _log_abs_det(backbone, x)
    for name, one, other, w in (
        ("latents", z, apart[0], weights),
        ("log-dets", log_abs_det, apart[1], shares),
    ):
        require(equal(one, other), f"its {name} are not those of {name} alone")
        first, second = (gradient((w * value).sum(), backbone) for value in (one, other))
        require(equal(first, second, 1e-7), f"its {name} have another gradient than {name} alone")


@_check
def prepared_gives_the_latents(make: Make) -> None:
    """Prepared gives the latents of forward, near and far, one row as many."""
    backbone = _sample(make)
    x = torch.randn(16, _DIM, dtype=torch.float64)
    x[8:] *= 1e3
    encode, kept = backbone.prepared(), x.clone()
    with torch.no_grad():
        z, found = backbone(x), encode(x)
        for rows, where in ((slice(8), "near"), (slice(8, 16), "far")):
            require(
                equal(found[rows], z[rows], 1e-8),
                f"prepared gives other latents than forward, {where}",
            )
        require(equal(encode(x[:1]), z[:1], 1e-8), "prepared gives one row another latent")
    require(bool((x == kept).all()), "prepared changes the rows that it is given")


@_check
def recode_is_that_of_the_base_class(make: Make) -> None:
    """What recode gives is what it gets, with the gradient of encoding what they decode to."""
    backbone = _sample(make)
    z = torch.randn(32, _DIM, dtype=torch.float64)
    weights = torch.randn_like(z)
    base = Backbone.recode(backbone, z)
    exact = gradient((weights * base).sum(), backbone)
    for start in (None, torch.zeros_like(z)):
        found = backbone.recode(z, start=start)
        require(equal(found, z, 1e-7), "recode gives other latents than it gets")
        slope = gradient((weights * found).sum(), backbone)
        require(equal(slope, exact, 1e-5), "the gradient of recode is not that of encoding")


@_check
def divergence_leaves_the_latents(make: Make) -> None:
    """forward_and_divergence gives the latents of forward, with their gradient."""
    backbone = _sample(make)
    x = torch.randn(32, _DIM, dtype=torch.float64)
    weights = torch.randn_like(x)
    z, divergence = backbone.forward_and_divergence(x, 0.1, seeded(0))
    require(divergence.shape == (len(x),), f"{len(x)} rows give {tuple(divergence.shape)}")
    require(equal(z, backbone(x)), "the latents are not those of forward")
    first, second = (gradient((weights * value).sum(), backbone) for value in (z, backbone(x)))
    require(equal(first, second, 1e-7), "the latents have another gradient than forward's")


@_check
def divergence_draws_from_the_generator(make: Make) -> None:
    """forward_and_divergence draws from the generator that it is given, and from nothing else."""
    backbone = _sample(make)
    x = torch.randn(32, _DIM, dtype=torch.float64)
    before = torch.get_rng_state()
    one, other = (
        gradient(backbone.forward_and_divergence(x, 0.1, seeded(0))[1].mean(), backbone)
        for _ in range(2)
    )
    require(torch.equal(one, other), "the same generator gives different gradients")
    require(torch.equal(before, torch.get_rng_state()), "it draws from torch's global generator")


@_check
def divergence_spreads_as_the_log_det_does(make: Make) -> None:
    """The gradient of forward_and_divergence is, in the mean, that of log |det ∂T/∂x|.

    That for the rows too, if it is overridden, so that backbones can be chained.
    """
    backbone = _sample(make)
    x = torch.randn(8, _DIM, dtype=torch.float64, requires_grad=True)

    def slopes(value: Tensor) -> tuple[Tensor, Tensor]:
        slope = gradient(value, backbone)
        (found,) = torch.autograd.grad(value, x, retain_graph=True, materialize_grads=True)
        return slope, found.flatten()

    exact = slopes(exact_log_abs_det(backbone, x).mean())
    own = type(backbone).forward_and_divergence is not Backbone.forward_and_divergence
    repeats, seeds = (300, 10) if own else (100, 5)  # that of the base class needs a look only
    rows = x.repeat(repeats, 1)
    # So close that no kink of a piecewise linear map lies between.
    draws = [
        slopes(backbone.forward_and_divergence(rows, _NEAR, seeded(seed))[1].mean())
        for seed in range(seeds)
    ]
    for i, what in enumerate(("the parameters", "the rows") if own else ("the parameters",)):
        found = torch.stack([draw[i] for draw in draws])
        error = float((found.mean(dim=0) - exact[i]).norm())
        noise = float(found.std(dim=0).norm()) / len(found) ** 0.5
        allowed = 0.05 * float(exact[i].norm()) + 3 * noise
        require(
            error < allowed, f"its gradient for {what} is off that of the log-det by {error:.2g}"
        )


def exact_log_abs_det(backbone: Backbone, x: Tensor) -> Tensor:
    """``log |det ∂T/∂x|`` of each row of ``(N, D)`` by automatic differentiation, with its graph.

    As rows do not depend on each other, a column's sum over them has the slope of each.
    """
    x = x if x.requires_grad else x.detach().clone().requires_grad_()
    slopes = [
        torch.autograd.grad(column.sum(), x, create_graph=True, materialize_grads=True)[0]
        for column in backbone(x).unbind(dim=1)
    ]
    return torch.linalg.slogdet(torch.stack(slopes, dim=1)).logabsdet


def _sample(make: Make, dim: int = _DIM) -> Backbone:
    return started(perturb(make(dim)).double())


def _log_abs_det(backbone: Backbone, x: Tensor) -> Tensor:
    try:
        return backbone.log_abs_det(x)
    except NotImplementedError as error:
        raise SkipCheck(f"it has no log_abs_det: {error}") from error
