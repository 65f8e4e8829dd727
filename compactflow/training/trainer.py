"""The trainer: knows only the base classes, and no Jacobian."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compactflow.backbones.base import Backbone, ConvergenceError
from compactflow.backbones.stack import Stack, stack_modules
from compactflow.devices import can_compile, single_threaded
from compactflow.flow import CompactFlow
from compactflow.progress import progress
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.training.checkpoints import Checkpoint
from compactflow.training.equilibrium import sample_equilibrium
from compactflow.training.holdout import HoldOut
from compactflow.training.monitors import energy_distance, monitor

__all__ = ["History", "TrainingDivergedWarning", "TrainingOptions", "train"]

History = dict[str, list[float]]

_REFERENCE_ROWS = 1024
_DRAWS = 20
_SMALL = 1 << 15  # numbers in a batch up to which a second thread gains nothing
_NOISE_FLOOR = 0.1  # of the energy distance, with few rows, per distance of two latents

# What a run keeps from step to step: parts with a state of their own, and values.
_STATEFUL = ("flow", "pull", "optimizer", "schedule")
_VALUES = ("reference", "history", "best", "checks_since_best", "noise", "kept_weights")


class TrainingDivergedWarning(RuntimeWarning):
    """Training ran away and was stopped; the last good weights are in use."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train.

    Attributes:
        max_steps: Optimiser steps at most.
        batch_size: Rows per step and network of the backbone, drawn with replacement.
        learning_rate: Peak of Adam's one-cycle schedule.
        noise: Standard deviation of the normal noise added to each batch, in preprocessed units.
        clip: Bound on the gradient's norm.
        warm_up: Share of `max_steps` spent on carrying rows to their anchors, if there are any.
        checks: How often, over `max_steps`, to monitor and consider stopping.
        patience: Checks in a row, worse than the best by more than noise, after which to stop.
        compile: Compile the steps, where that is possible.
        verbose: Show a progress bar.
    """

    max_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 1e-3
    noise: float = 0.15
    clip: float = 1.0
    warm_up: float = 0.2
    checks: int = 20
    patience: int = 10
    compile: bool = False
    verbose: bool = False


def train(
    flows: Sequence[CompactFlow],
    x: Tensor,
    hold_out: HoldOut,
    *,
    pull: Pull,
    push: Push,
    options: TrainingOptions,
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train the backbones of M flows in place, side by side, and keep their last good weights.

    Args:
        flows: The flows, of one latent and one class of backbone; their preprocessing stays as it
            is.
        x: Inliers, ``(N, D)``, in data units, on the flows' device and in their preprocessing's
            dtype.
        hold_out: Which of these rows train each flow, and which judge it.
        pull: Draws latents into the support.
        push: Spreads them over it.
        options: How to train.
        checkpoint: Where to go on from and to keep the state, at every check.

    Returns:
        The history: for each check, ``step``, ``loss`` and the monitors' values.

    Warns:
        TrainingDivergedWarning: If a loss or monitor is not finite, the inverse stops
            converging, or the energy distance ends far above where it began; the weights of the
            last good check are restored all the same.
    """
    run = _Run(flows, x, hold_out, pull, push, options)
    first = 1 if checkpoint is None else 1 + checkpoint.resume(run.load_state_dict)
    numbers = options.batch_size * len(flows) * x.shape[1]
    bar = progress("training, steps", options.max_steps, show=options.verbose)
    with single_threaded(numbers <= _SMALL), bar as reach:
        for step in range(first, options.max_steps + 1):
            try:
                loss = run.step(step)
                if step % run.interval and step < options.max_steps:
                    continue
                go_on = step <= run.warm_up or run.check(step, float(loss))
            except ConvergenceError as error:
                run.diverged(step, str(error))
                break
            reach(step)
            if not go_on:
                break
            if checkpoint is not None:
                checkpoint.save({"step": step, "run": run.state_dict()})
    run.restore([flow.backbone for flow in flows])
    return run.history


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        flows: Sequence[CompactFlow],
        x: Tensor,
        hold_out: HoldOut,
        pull: Pull,
        push: Push,
        options: TrainingOptions,
    ) -> None:
        self.x, self.hold_out = x, hold_out
        self.stack, latent = Stack([flow.backbone for flow in flows]), flows[0].latent
        layers = stack_modules([flow.preprocessing for flow in flows])
        self.flow = CompactFlow(self.stack, latent, layers)
        trained = hold_out.trained().to(x.device)
        anchors = latent.adapt(flows[0].preprocess(x[trained]))
        self.anchors, self.warm_up = torch.empty(0), 0
        if anchors is not None:
            self.anchors = torch.zeros_like(x, dtype=anchors.dtype)
            self.anchors[trained] = anchors
            self.warm_up = int(options.warm_up * options.max_steps)
        # So many rows of each network as make the reference rows, or just more, in all.
        each = -(-_REFERENCE_ROWS // len(flows))
        self.judging = self.flow.preprocess(x[hold_out.judging_rows()[:each].flatten()])
        self.trained = self.flow.preprocess(x[hold_out.training_rows()[:each].flatten()])
        self.pull, self.push, self.options = pull, push, options
        self.interval = max(1, options.max_steps // options.checks)
        self.parameters: list[Tensor] = list(self.stack.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, lr=options.learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=options.learning_rate, total_steps=options.max_steps + 1
        )
        # A copy, as checks in other shapes than the steps' would be compiled anew.
        self.checked = CompactFlow(copy.deepcopy(self.stack), latent, layers)
        if options.compile and can_compile(x.device):
            self.stack.compile_passes()
        self.reference, settled = sample_equilibrium(pull, push, 2 * _REFERENCE_ROWS).chunk(2)
        self.history: History = {}
        self.best, self.checks_since_best = math.inf, 0
        self.noise = _noise(settled, len(self.trained), self.reference)
        self.kept_weights = copy.deepcopy(self.stack.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that the further course depends on."""
        device = self.x.device
        return {
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
            **{name: getattr(self, name) for name in _VALUES},
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state_dict` gave, of a run of the same arguments."""
        device = self.x.device
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        for name in _VALUES:
            value = state[name]
            setattr(self, name, value.to(device) if isinstance(value, Tensor) else value)
        torch.set_rng_state(state["random"])
        if device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], device)

    def step(self, step: int) -> Tensor:
        """One optimiser step on one batch; returns its loss."""
        options = self.options
        rows = self.hold_out.draw(options.batch_size, self.x.device).flatten()
        x = self.flow.preprocess(self.x[rows])
        x = x + options.noise * torch.randn_like(x)
        if step <= self.warm_up:
            loss = (self.stack(x) - self.anchors[rows]).square().sum(dim=1).mean()
        else:
            loss = self.push.loss(self.flow, x, self.pull)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        # The loss is the mean over the members, so each has a gradient of 1/M its own.
        clip = options.clip / math.sqrt(self.stack.members)
        torch.nn.utils.clip_grad_norm_(self.parameters, clip, foreach=True)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def restore(self, networks: Sequence[Backbone]) -> None:
        """Give the networks the kept weights."""
        self.stack.load_state_dict(self.kept_weights)
        self.stack.unstack(networks)

    @torch.no_grad()
    def check(self, step: int, loss: float) -> bool:
        """Monitor the weights, keep them if good; False when training is to stop."""
        self.checked.backbone.load_state_dict(self.stack.state_dict())
        latents = self.checked.backbone(self.trained)
        record = {
            "step": step,
            "loss": loss,
            **monitor(self.checked, self.judging, self.reference),
            "training_energy_distance": energy_distance(latents, self.reference),
        }
        for name, value in record.items():
            self.history.setdefault(name, []).append(value)
        bad = [name for name, value in record.items() if not math.isfinite(value)]
        if bad:
            self.diverged(step, f"{' and '.join(bad)} became not finite")
            return False
        # Judged by the training rows: the held-out ones are few, and stay exchangeable with new
        # ones for the calibration.
        energies = self.history["training_energy_distance"]
        first, energy = energies[0], energies[-1]
        self.best = min(self.best, energy)
        floor = _NOISE_FLOOR * float(torch.pdist(self.reference).mean())
        runaway = energy > 4 * max(first, floor)
        # Among checks that the rows cannot tell apart, the longest trained is kept. An entropic
        # push is stable: there the longest trained detects best, even where it is not nearest.
        if energy <= self.best + self.noise or (self.push.entropic and not runaway):
            self.checks_since_best = 0
            self.kept_weights = copy.deepcopy(self.stack.state_dict())
        else:
            self.checks_since_best += 1
        go_on = self.checks_since_best < self.options.patience and step < self.options.max_steps
        if not go_on and runaway:
            self.diverged(
                step, f"the latent energy distance rose from {first:.3g} to {energy:.3g}"
            )
        return go_on

    def diverged(self, step: int, cause: str) -> None:
        """Warn that training ran away."""
        warnings.warn(
            f"training stopped at step {step} of {self.options.max_steps}: {cause}; the weights "
            "of the last good check are in use. A smaller learning_rate may help",
            TrainingDivergedWarning,
            stacklevel=4,
        )


@torch.no_grad()
def _noise(settled: Tensor, rows: int, reference: Tensor) -> float:
    """Standard deviation of the energy distance of `rows` settled latents from the reference."""
    # With replacement, as there may be no more settled latents than rows.
    draws = (settled[torch.randint(len(settled), (rows,))] for _ in range(_DRAWS))
    return float(np.std([energy_distance(draw, reference) for draw in draws]))
