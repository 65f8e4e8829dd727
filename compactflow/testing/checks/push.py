"""The checks of a push, on small networks into the square and into the ball."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.latents.ball import Ball
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.plugins import registry
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import seeded
from compactflow.testing.checks.passes import exact_log_abs_det
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import (
    Plain,
    equal,
    gradient,
    learn,
    modes,
    perturb,
    reloaded,
    require_finite,
    require_registered,
    require_untouched,
    short_training,
    trained,
)
from compactflow.training.monitors import energy_distance
from compactflow.training.objective import Objective
from compactflow.training.stack import Stack

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[int], Push]

_PLACES: tuple[tuple[type[Latent], int], ...] = ((Cube, 2), (Ball, 3))
_ROWS = 64


@_check
def declares_its_kind(make: Make) -> None:
    """The class says whether it is `entropic`, and whether its term is `rowwise`."""
    push = type(make(2))
    for name in ("entropic", "rowwise"):
        value = getattr(push, name, None)
        require(isinstance(value, bool), f"{name} must be True or False, is {value!r}")


@_check
def gives_latents_and_a_scalar(make: Make) -> None:
    """It gives all rows' latents, with their gradient, and a finite scalar in their dtype."""
    for dtype in (torch.float32, torch.float64):
        for push, backbone, pull in _cases(make, dtype):
            x = torch.randn(_ROWS, backbone.dim, dtype=dtype)
            weights = torch.randn_like(x)
            z, term = push(backbone, pull, x, seeded(0))
            right = backbone(x)
            require(equal(z, right, 1e-5), "the latents are not those of the backbone")
            first, second = (gradient((weights * value).sum(), backbone) for value in (z, right))
            require(
                equal(first, second, 1e-4), "the latents' gradient is not that of the backbone's"
            )
            require(term.shape == (), f"the term has shape {tuple(term.shape)}, not ()")
            require(term.dtype == dtype, f"the term is {term.dtype} for a backbone in {dtype}")
            require_finite(f"in {dtype}", term=term)


@_check
def gradient_reaches_backbone(make: Make) -> None:
    """Its gradient moves the backbone, any that has forward and inverse."""
    for push, backbone, pull in _cases(make):
        for network in (backbone, Plain(backbone)):
            found = gradient(_term(push, network, pull, _rows(network)), network)
            require_finite("for the backbone", gradient=found)
            require(found.any(), "no gradient reaches the backbone")


@_check
def leaves_its_inputs_alone(make: Make) -> None:
    """It changes neither batch nor backbone nor pull, nor what trains, and writes no gradients."""
    for push, backbone, pull in _cases(make):
        x = _rows(backbone)
        state = {"the batch": x, **backbone.state_dict(), **pull.state_dict()}
        before = modes(backbone, pull)
        require_untouched(state, lambda: push(backbone, pull, x, seeded(0)))  # noqa: B023
        require(modes(backbone, pull) == before, "it changes train() and eval(), or what trains")
        parameters = [*backbone.parameters(), *pull.parameters(), *push.parameters()]
        require(all(p.grad is None for p in parameters), "it writes gradients; return a loss only")
        require(not x.requires_grad, "it makes the batch require a gradient")


@_check
def generator_decides(make: Make) -> None:
    """It draws random numbers from the generator that it is given, and from nothing else."""
    for push, backbone, pull in _cases(make):
        x, before = _rows(backbone), torch.get_rng_state()
        terms = [
            copy.deepcopy(push)(network, pull, x, seeded(1))[1]
            for network in (backbone, backbone, Plain(backbone))
        ]
        one, other = (gradient(term, backbone) for term in terms[:2])
        require(torch.equal(one, other), "the same generator gives different gradients")
        reordered = copy.deepcopy(push)(backbone, pull, x.flip(0), seeded(2))[1]
        again = copy.deepcopy(push)(backbone, pull, x, seeded(2))[1]
        require(
            not equal(gradient(again, backbone), one)
            or equal(gradient(reordered, backbone), one, 1e-6),
            "any generator gives the same random numbers: the order of rows matters, it does not",
        )
        require(
            torch.equal(torch.get_rng_state(), before), "it draws from torch's global generator"
        )


@_check
def state_is_kept(make: Make) -> None:
    """What changes as it is called is parameter or buffer, and a saved state brings it back."""
    push, backbone, pull = next(_cases(make))
    x = _rows(backbone)
    objective = Objective(pull, push, 1)
    for seed in range(3):
        push(backbone, pull, x, seeded(seed))
    objective.check_state()
    fresh = reloaded(push, lambda: make(backbone.dim).double())
    one, other = (
        gradient(each(backbone, pull, x, seeded(9))[1], backbone) for each in (push, fresh)
    )
    require(equal(one, other), "after loading its state it is another; register it as buffers")
    require_registered(push, lambda module: gradient(_term(module, backbone, pull, x), backbone))


@_check
def each_flow_trains_as_it_would_alone(make: Make) -> None:
    """In an ensemble each flow gets the gradient that it would get by itself, in the mean.

    Else its term is no mean over rows, and the class must not set `rowwise`.
    """
    for latent, dim in _PLACES:
        push = make(dim).double()
        if not push.rowwise:
            return
        networks = [perturb(Coupling(dim, blocks=2, width=8), 0.5).double() for _ in range(2)]
        stack, pull = Stack(networks), _pull(push, latent(dim).double())
        # Rows that tell the flows apart.
        rows = [3 * m + torch.randn(2 * _ROWS, dim, dtype=torch.float64) for m in range(2)]
        x = torch.stack(rows, dim=1).flatten(0, 1)
        together = torch.stack([gradient(_term(push, stack, pull, x), stack) for _ in range(10)])
        apart = torch.stack([_alone(push, stack, pull, x) for _ in range(10)])
        error = (together.mean(dim=0) - apart.mean(dim=0)).norm()
        noise = ((together.var(dim=0) + apart.var(dim=0)).sum() / len(apart)).sqrt()
        require(
            error <= 4 * noise + 1e-6 * apart.mean(dim=0).norm(),
            "the gradients of two flows together are not those of each alone: set no `rowwise`",
        )


@_check
def entropic_gradient_is_that_of_the_log_det(make: Make) -> None:
    """The mean gradient of an entropic push is that of -E log |det ∂T/∂x|, within 5 %.

    In the square the network has faster methods than the base class, in the ball it has not.
    """
    for push, backbone, pull in _cases(make):
        if not push.entropic:
            raise SkipCheck("it is not entropic")
        learn(push, backbone, pull, lambda: torch.randn(2 * _ROWS, backbone.dim).double())  # noqa: B023
        network = backbone if isinstance(pull.latent, Cube) else Plain(backbone)
        x = torch.randn(16, network.dim, dtype=torch.float64)
        exact = gradient(-exact_log_abs_det(network, x).mean(), network)
        rows = x.repeat(200, 1)
        draws = torch.stack(
            [gradient(_term(push, network, pull, rows), network) for _ in range(10)]
        )
        # Along the right direction, where it should be 1, and across it, where it should be 0.
        along = draws @ exact / exact.square().sum()
        share, noise = float(along.mean()), float(along.std()) / len(along) ** 0.5
        require(
            abs(share - 1) < 0.05 + 4 * noise,
            f"its gradient is {share:.3f} ± {noise:.3f} times that of the log-det",
        )
        across = draws - along[:, None] * exact
        error = float(across.mean(dim=0).norm() / exact.norm())
        noise = float((across.var(dim=0).sum() / len(draws)).sqrt() / exact.norm())
        require(
            error < 0.1 + 3 * noise,
            f"its gradient is off that of the log-det by {error:.0%} of its norm",
        )


@_check
def force_balances_the_pull(make: Make) -> None:
    """With the pull, a push that is not entropic rests at the latent distribution, and only there.

    "At rest" is within six standard errors of no mean gradient; latents of half the width are
    the opposite case. For a push that learns, and is never quite done, a quarter of the force at
    half the width will do, too.
    """
    for push, backbone, pull in _cases(make):
        if push.entropic:
            raise SkipCheck("it is entropic, and balances the pull at exp(-pull)/Z")
        (whole, score), (half, score_of_half) = (
            _force(push, backbone, pull, width) for width in (1.0, 0.5)
        )
        rests = score < 6 or (trained(push) and whole < 0.25 * half)
        beside = " beside a pull; `pulled = False` leaves that out" if push.pulled else ""
        where = f"in D = {backbone.dim}{beside}"
        require(rests, f"it does not rest at the latent law ({score:.0f} standard errors) {where}")
        require(
            score_of_half > 6, f"it rests where latents fill half the support's width, {where}"
        )


@_check
def training_brings_latents_closer(make: Make) -> None:
    """20 steps bring the latents of each of two flows nearer to the latent distribution."""
    for latent_class, dim in _PLACES:
        push = make(dim)
        latent = latent_class(dim)
        pull = _pull(push, latent)
        flows = [CompactFlow(Coupling(dim, blocks=2, width=8), latent) for _ in range(2)]
        x = 0.3 * torch.randn(512, dim) + 0.1  # narrow: the pull alone gathers it still more
        target = latent.sample(1024)
        short_training(flows, x, pull, push, steps=20)
        for flow in flows:
            with torch.no_grad():
                before, after = (
                    energy_distance(x, target),
                    energy_distance(flow.backbone(x), target),
                )
            require(
                after < 0.85 * before,
                f"the energy distance of a flow's latents to the latent law goes from "
                f"{before:.3f} to {after:.3f} in D = {dim}",
            )


def _cases(
    make: Make, dtype: torch.dtype = torch.float64
) -> Iterator[tuple[Push, Backbone, Pull]]:
    """The push in each place, with a small perturbed network and the pull that suits the push."""
    for latent, dim in _PLACES:
        push = make(dim).to(dtype)
        backbone = perturb(Coupling(dim, blocks=2, width=8), 0.3).to(dtype)
        yield push, backbone, _pull(push, latent(dim).to(dtype))


def _pull(push: Push, latent: Latent) -> Pull:
    name = latent.confining_pull if push.entropic else latent.default_pull
    pull: Pull = registry.load("pull", name)(latent)
    return pull


def _rows(backbone: Backbone) -> Tensor:
    return torch.randn(_ROWS, backbone.dim, dtype=torch.float64)


def _term(push: nn.Module, backbone: Backbone, pull: Pull, x: Tensor) -> Tensor:
    """The term of one batch, with another generator at each call."""
    _, term = push(backbone, pull, x, seeded(int(torch.randint(2**31, ()))))
    return term


def _alone(push: Push, stack: Stack, pull: Pull, x: Tensor) -> Tensor:
    """The gradient of the mean of what each network's own rows give."""
    pairs = zip(stack.singles(), stack.split(x), strict=True)
    terms = [_term(push, network, pull, rows) for network, rows in pairs]
    return gradient(torch.stack(terms).mean(), stack)


def _force(push: Push, backbone: Backbone, pull: Pull, width: float) -> tuple[float, float]:
    """The mean gradient of pull and push for latents of that width.

    Returns:
        Its norm, and its largest entry in standard errors.
    """
    push = copy.deepcopy(push)

    def rows(n: int = 2 * _ROWS) -> Tensor:
        with torch.no_grad():
            return backbone.inverse(width * pull.latent.sample(n))

    def draw() -> Tensor:
        z, term = push(backbone, pull, rows(256), seeded(int(torch.randint(2**31, ()))))
        return gradient(pull(z).mean() + term if push.pulled else term, backbone)

    learn(push, backbone, pull, rows)
    forces = torch.stack([draw() for _ in range(20)])
    mean, error = forces.mean(dim=0), forces.std(dim=0) / len(forces) ** 0.5
    return float(mean.norm()), float((mean.abs() / (error + 1e-12)).max())
