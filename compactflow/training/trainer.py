"""The trainer: knows only the base classes, and no Jacobian."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from compactflow.backbones.base import ConvergenceError
from compactflow.backbones.conditional import bind
from compactflow.devices import SMALL, can_compile, single_threaded
from compactflow.flows.contracts import is_own
from compactflow.flows.flow import CompactFlow
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import drawing_from, normal_like, seeded
from compactflow.terminal import progress
from compactflow.training.callbacks import Callback, TrainingState, as_callbacks
from compactflow.training.checkpoints import Checkpoint, check_like
from compactflow.training.holdout import HoldOut, in_turn
from compactflow.training.judge import Judge
from compactflow.training.objective import Objective
from compactflow.training.optimisation import make_optimizer, make_schedule
from compactflow.training.options import (
    History,
    TrainingDivergedWarning,
    TrainingInterruptedWarning,
    TrainingOptions,
)
from compactflow.training.stack import Stack

__all__ = ["History", "TrainingDivergedWarning", "TrainingOptions", "train"]

_log = logging.getLogger(__name__)

# What a run keeps from step to step.
_STATEFUL = ("model", "optimizer", "schedule", "judge")


def train(
    flows: CompactFlow | Sequence[CompactFlow],
    x: Tensor,
    hold_out: HoldOut | None = None,
    *,
    pull: Pull,
    push: Push,
    options: TrainingOptions | None = None,
    generator: torch.Generator | None = None,
    anchors: Tensor | None = None,
    checkpoint: Checkpoint | None = None,
    callbacks: Iterable[Callback] = (),
) -> History:
    """Train M flows in place, side by side, and keep their last good weights.

    The backbones train, and so do parameters of the pull, the push and the latent. A detector does
    more: it fits the first layers and the latent, weighs the pull
    (`compactflow.pushes.theory.balance`), and calibrates what comes of it.

    Args:
        flows: A flow, or several of one latent and one class of backbone; their preprocessing
            stays as it is.
        x: Inliers, ``(N, D)``, in data units, on the flows' device and in their preprocessing's
            dtype; or as each flow's preprocessing gives them, ``(N, M, D)``.
        hold_out: Which of these rows train each flow, and which judge it; all by default.
        pull: Draws latents into the support; it is of the flows' latent.
        push: Spreads them over it.
        options: How to train.
        generator: Where to draw random numbers from, on the flows' device; by default torch's
            global generator decides.
        anchors: For each of the rows the latent to which a first stage carries it, ``(N, D)``,
            or ``None`` for no such stage: see `compactflow.latents.base.Latent.adapt`.
        checkpoint: Where to go on from and to keep the state, at every check.
        callbacks: What looks on: see `compactflow.training.callbacks.Callback`.

    Returns:
        The history: for each check, ``step``, ``loss`` and the monitors' values.

    Raises:
        ValueError: If the pull is of another latent, if optimiser or schedule cannot be made, if
            nothing in the backbone or a parameter elsewhere would never train, or if a checkpoint
            would not keep a state.
        TypeError: If `callbacks` is no list of callbacks.

    Warns:
        TrainingInterruptedWarning: If the user interrupts it (Ctrl-C) and there is no checkpoint,
            from which it could go on: it ends there. Before the first step, that is raised.
        TrainingDivergedWarning: If a loss or monitor is not finite, the inverse stops
            converging, or the energy distance ends far above where it began; the weights of the
            last good check are restored all the same.
    """
    flows = [flows] if isinstance(flows, CompactFlow) else list(flows)
    if any(flow.latent is not pull.latent for flow in flows):
        raise ValueError("pull must be made for the flows' latent, and that is another object")
    hold_out, options = hold_out or HoldOut(len(x), len(flows)), options or TrainingOptions()
    generator = generator or seeded(int(torch.randint(2**31, ())), x.device)
    callbacks = as_callbacks(callbacks)
    run = _Run(flows, x, hold_out, Objective(pull, push, len(flows)), options, generator, anchors)
    state = TrainingState(
        flows, run.judge.history, lambda: run.stack.unstack([flow.backbone for flow in flows])
    )
    first = 1 if checkpoint is None else 1 + checkpoint.resume(run.load_state_dict)
    if first > 1:
        _log.info("training goes on after step %d of %d", first - 1, options.max_steps)
    numbers = options.batch_size * len(flows) * x.shape[-1]
    bar = progress("training, steps", options.max_steps, show=options.verbose)
    with single_threaded(numbers <= SMALL), bar as reach:
        try:
            for step in range(first, options.max_steps + 1):
                try:
                    state.losses, state.step = run.step(step), step
                    _tell(callbacks, "on_step", state)
                    if step % run.interval and step < options.max_steps:
                        continue
                    go_on = step <= run.warm_up or run.check(step, float(state.losses["loss"]))
                except ConvergenceError as error:
                    run.diverged(step, str(error))
                    break
                reach(step)
                if step > run.warm_up:
                    _log.debug("step %d: %s", step, _last(run.judge.history))
                    _tell(callbacks, "on_check", state)
                if not go_on:
                    break
                if checkpoint is not None:
                    run.objective.check_state()
                    checkpoint.save({"step": step, "run": run.state_dict()})
        except KeyboardInterrupt:
            if checkpoint is not None or state.step <= run.warm_up:
                raise  # it can go on later, or there is nothing to keep
            run.interrupted(state.step, float(state.losses["loss"]))
    run.judge.restore()
    state.refresh()
    _tell(callbacks, "on_end", state)
    return run.judge.history


def _last(history: History) -> str:
    return ", ".join(f"{name} {values[-1]:.4g}" for name, values in history.items())


@torch.no_grad()
def _tell(callbacks: Iterable[Callback], event: str, state: TrainingState) -> None:
    for callback in callbacks:
        getattr(callback, event)(state)


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        flows: Sequence[CompactFlow],
        x: Tensor,
        hold_out: HoldOut,
        objective: Objective,
        options: TrainingOptions,
        generator: torch.Generator,
        anchors: Tensor | None,
    ) -> None:
        self.hold_out, self.anchors = hold_out, anchors
        # First layers are fixed, so each row passes them once.
        self.rows = x if x.ndim == 3 else torch.stack([flow.preprocess(x) for flow in flows], 1)
        self.objective, self.options, self.generator = objective, options, generator
        self.stack = Stack([flow.backbone for flow in flows])
        self.warm_up = 0 if anchors is None else int(options.warm_up * options.max_steps)
        self.model = nn.ModuleDict({"stack": self.stack, "objective": objective})
        self.interval = max(1, options.max_steps // options.checks)
        self.parameters = [p for p in self.stack.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("the backbone has no parameters that train")
        self.others = objective.trained()
        parameters = [*self.parameters, *self.others]
        self.optimizer = make_optimizer(options.optimizer, parameters, options.learning_rate)
        self.schedule = make_schedule(options.schedule, self.optimizer, options.max_steps)
        flow = CompactFlow(self.stack, flows[0].latent)
        self.judge = Judge(self.model, flow, objective, self.rows, hold_out, options, generator)
        compiled = options.compile and _compiles(objective.push, x.device)
        if compiled:
            self.stack.compile_passes()
        # Others' code may draw from torch's generator; ours does not, and is spared the cost.
        others = not (is_own(objective.push) and is_own(flows[0].backbone))
        self.guard = drawing_from(generator) if others and not compiled else nullcontext()

    def state_dict(self) -> dict[str, Any]:
        """Everything that later steps depend on."""
        parts = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        return parts | {"random": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that `state_dict` gave, of a run of the same arguments.

        Raises:
            Exception: If the state does not fit.
        """
        self._fill_optimizer(state["optimizer"]["state"])
        own = self.state_dict()
        own["judge"] |= {"history": {key: [] for key in state["judge"]["history"]}, "kept": {}}
        for name in ("optimizer", "schedule", "judge", "random"):  # the model checks itself
            check_like(own[name], state[name], name)
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["random"])

    def _fill_optimizer(self, places: Iterable[int]) -> None:
        """Give the optimiser a state for some parameters, with which a saved one is compared.

        It is that of a step without gradient; the weights, which it may change, are loaded next.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for place in places:
            parameters[place].grad = torch.zeros_like(parameters[place])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimiser step on one batch; returns its loss, and what that is made of."""
        options, generator = self.options, self.generator
        drawn = self.hold_out.draw(options.batch_size, generator)
        x = in_turn(self.rows, drawn)
        dim = self.stack.dim  # behind the features is what they are judged given
        features, context = x.tensor_split([dim], dim=1)
        features = features + options.noise * normal_like(features, generator)
        x = torch.cat([features, context], dim=1) if context.shape[1] else features
        if self.anchors is not None and step <= self.warm_up:
            with self.guard:
                given, rows = bind(self.stack, x)
                z = given(rows)
            loss = (z - self.anchors[drawn.flatten()]).square().sum(dim=1).mean()
            parts = {"anchors": loss}
        else:
            with self.guard:
                pull, push = self.objective.terms(self.stack, x, generator)
            loss, parts = pull + push, {"pull": pull, "push": push}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.others and step > self.warm_up:
            self.objective.check_gradients()
        # The loss is the mean over the members, so each has a gradient of 1/M its own.
        clip = options.clip / math.sqrt(self.stack.members)
        torch.nn.utils.clip_grad_norm_(self.parameters, clip, foreach=True)
        torch.nn.utils.clip_grad_norm_(self.others, options.clip, foreach=True)
        self.optimizer.step()
        self.schedule.step()
        return {name: term.detach() for name, term in ({"loss": loss} | parts).items()}

    @torch.no_grad()
    def check(self, step: int, loss: float) -> bool:
        """Judge the weights; False when training is to stop."""
        with self.guard:
            go_on, cause = self.judge.check(step, loss)
        if cause:
            self.diverged(step, cause)
        return go_on

    def interrupted(self, step: int, loss: float) -> None:
        """Judge the weights a last time, and warn that they are the last."""
        if self.judge.history.get("step", [])[-1:] != [step]:  # else they have just been judged
            with self.guard:
                self.judge.check(step, loss)
        warnings.warn(
            f"training was interrupted at step {step} of {self.options.max_steps}: the best "
            "weights so far are in use",
            TrainingInterruptedWarning,
            stacklevel=4,
        )

    def diverged(self, step: int, cause: str) -> None:
        """Warn that training ran away."""
        warnings.warn(
            f"training stopped at step {step} of {self.options.max_steps}: {cause}; the weights "
            "of the last good check are in use. A smaller learning_rate may help",
            TrainingDivergedWarning,
            stacklevel=4,
        )


def _compiles(push: Push, device: torch.device) -> bool:
    """Whether steps with this push can be compiled; if not, one line of the log says why."""
    if push.double_backward:
        name = type(push).__name__
        _log.warning("not compiled, as %s takes gradients of gradients", name)
        return False
    return can_compile(device)
