"""The checks of a push, on a small coupling flow into the square."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow import registry
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import seeded
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import equal, perturb, require_finite, short_training
from compactflow.training.monitors import energy_distance

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[], Push]


@_check
def declares_entropic(make: Make) -> None:
    """The class says with `entropic` whether it maximises entropy."""
    entropic = getattr(type(make()), "entropic", None)
    require(isinstance(entropic, bool), f"entropic must be True or False, is {entropic!r}")


@_check
def loss_is_a_finite_scalar(make: Make) -> None:
    """Its term is a finite scalar in the backbone's dtype."""
    for dtype in (torch.float32, torch.float64):
        flow, pull = _flow(make(), dtype)
        loss = _loss(make(), flow, pull, torch.randn(32, 2, dtype=dtype))
        require(loss.shape == (), f"the loss has shape {tuple(loss.shape)}, not ()")
        require(loss.dtype == dtype, f"the loss is {loss.dtype} for a flow in {dtype}")
        require_finite(f"in {dtype}", loss=loss)


@_check
def gradient_reaches_backbone(make: Make) -> None:
    """Its gradient moves the backbone."""
    flow, pull = _flow(make())
    gradient = _gradient(flow, _loss(make(), flow, pull, torch.randn(32, 2).double()))
    require_finite("for the backbone", gradient=gradient)
    require(gradient.any(), "no gradient reaches the backbone")


@_check
def leaves_its_inputs_alone(make: Make) -> None:
    """It changes neither batch nor backbone nor pull, and writes no gradients."""
    flow, pull = _flow(make())
    x = torch.randn(32, 2).double()
    modules = (flow, pull)
    before = [t.clone() for t in (x, *_tensors(*modules))]
    make()(flow.backbone, pull, x, seeded(0))
    after = (x, *_tensors(*modules))
    require(
        len(before) == len(after) and all(map(torch.equal, before, after)),
        "it changes the batch, the backbone or the pull",
    )
    require(
        all(p.grad is None for p in flow.parameters()), "it writes gradients; return a loss only"
    )
    require(x.grad_fn is None and not x.requires_grad, "it makes the batch require a gradient")


@_check
def gives_the_latents(make: Make) -> None:
    """What it gives beside its term are the latents of all rows, with their gradient."""
    flow, pull = _flow(make())
    x = torch.randn(32, 2).double()
    weights = torch.randn(32, 2).double()
    z, _ = make()(flow.backbone, pull, x, seeded(0))
    right = flow.backbone(x)
    require(equal(z, right), "the latents are not those of the backbone")
    found, exact = (_gradient(flow, (weights * latents).sum()) for latents in (z, right))
    require(equal(found, exact), "the latents' gradient is not that of the backbone's")


@_check
def generator_decides(make: Make) -> None:
    """It draws random numbers from the generator that it is given, and from nothing else."""
    flow, pull = _flow(make())
    x = torch.randn(32, 2).double()
    before = torch.get_rng_state()
    one, other = (_gradient(flow, make()(flow.backbone, pull, x, seeded(1))[1]) for _ in range(2))
    require(torch.equal(one, other), "the same generator gives different gradients")
    require(torch.equal(torch.get_rng_state(), before), "it draws from torch's global generator")


@_check
def entropic_gradient_is_that_of_the_log_det(make: Make) -> None:
    """The mean gradient of an entropic push is that of -E log |det ∂T/∂x|, within 10 %."""
    push = make()
    if not push.entropic:
        raise SkipCheck("it is not entropic")
    flow, pull = _flow(push)
    x = torch.randn(50, 2).double()
    exact = _gradient(flow, -Backbone.log_abs_det(flow.backbone, x).mean())
    found = _mean_gradient(lambda: _loss(push, flow, pull, x.repeat(400, 1)), flow)
    error = float((found - exact).norm() / exact.norm())
    require(error < 0.1, f"its gradient is off that of the log-det by {error:.0%} of its norm")


@_check
def force_balances_the_pull(make: Make) -> None:
    """With the pull, a push that is not entropic rests at the latent distribution, and only there.

    "At rest" is within six standard errors of no mean gradient; latents of half the width are
    the opposite case.
    """
    push = make()
    if push.entropic:
        raise SkipCheck("it is entropic, and balances the pull at exp(-pull)/Z")
    flow, pull = _flow(push)
    for width, rests in ((1.0, True), (0.5, False)):
        score = _force(push, flow, pull, width)
        if rests:
            require(score < 6, f"it does not rest at the latent law ({score:.0f} standard errors)")
        else:
            require(score > 6, "it rests where latents fill half the support's width")


@_check
def training_brings_latents_closer(make: Make) -> None:
    """100 steps of training bring the latents nearer to the latent distribution."""
    push = make()
    flow, pull = _flow(push, torch.float32, noise=0.0)
    x = 0.2 * torch.randn(512, 2) + 0.5  # narrow: the pull alone gathers it still more
    target = flow.latent.sample(1024)

    @torch.no_grad()
    def distance() -> float:
        return energy_distance(flow.backbone(x), target)

    before = distance()
    short_training(flow, x, pull, push, steps=100)
    after = distance()
    require(
        after < 0.3 * before,
        f"the energy distance to the latent law goes from {before:.3f} to {after:.3f}",
    )


def _flow(
    push: Push, dtype: torch.dtype = torch.float64, *, noise: float = 0.3
) -> tuple[CompactFlow, Pull]:
    """A small perturbed flow into the square, and the pull that suits the push."""
    latent = Cube(2)
    name = latent.confining_pull if push.entropic else latent.default_pull
    pull: Pull = registry.load("pull", name)(latent)
    flow = CompactFlow(perturb(Coupling(2, blocks=2, width=8), noise), latent)
    return flow.to(dtype), pull.to(dtype)


def _generator() -> torch.Generator:
    """Another one at each call."""
    return seeded(int(torch.randint(2**31, ())))


def _loss(push: Push, flow: CompactFlow, pull: Pull, x: Tensor) -> Tensor:
    _, term = push(flow.backbone, pull, x, _generator())
    return term


def _gradient(flow: CompactFlow, loss: Tensor) -> Tensor:
    """The gradient for all of the backbone's parameters, as one vector."""
    parameters = list(flow.backbone.parameters())
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def _mean_gradient(loss: Callable[[], Tensor], flow: CompactFlow) -> Tensor:
    return torch.stack([_gradient(flow, loss()) for _ in range(10)]).mean(dim=0)


def _force(push: Push, flow: CompactFlow, pull: Pull, width: float) -> float:
    """Largest mean gradient of pull and push, in standard errors, for latents of that width."""
    draws = []
    for _ in range(40):
        with torch.no_grad():
            x = flow.backbone.inverse(width * flow.latent.sample(1000))
        z, term = push(flow.backbone, pull, x, _generator())
        draws.append(_gradient(flow, pull(z).mean() + term))
    forces = torch.stack(draws)
    error = forces.std(dim=0) / len(forces) ** 0.5
    return float((forces.mean(dim=0).abs() / (error + 1e-12)).max())


def _tensors(*modules: torch.nn.Module) -> list[Tensor]:
    """The state of modules."""
    return [t.detach() for module in modules for t in module.state_dict().values()]
