"""Which weights training keeps, and when it stops."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from compactflow.backbones.conditional import bind
from compactflow.flows.flow import CompactFlow
from compactflow.training.holdout import HoldOut, in_turn
from compactflow.training.monitors import latent_energy, monitor, resampled_energies, within
from compactflow.training.objective import Objective
from compactflow.training.options import History, TrainingOptions

__all__ = ["Judge"]

_REFERENCE_ROWS = 512
_REFERENCE_NUMBERS = 1 << 17  # at most so many in these, as every check passes them through
_DRAWS = 20
_NOISE_FLOOR = 0.1  # of the energy distance, with few rows, per distance of two latents


@final
class Judge:
    """Monitors an ensemble in training, keeps its last good weights and decides when to stop.

    It judges by the training rows: the held-out ones are few, and stay exchangeable with new ones
    for the calibration.

    Args:
        model: All that trains; its weights are what is kept.
        flow: The flows side by side, of the model's stack, without their first layers.
        objective: The loss, for its push and its pull.
        rows: The inliers as each flow's first layer gives them, ``(N, M, D)``.
        hold_out: Which of them train and judge each flow.
        options: How to train.
        generator: Where to draw random numbers from.

    Attributes:
        history: What was found at each check.
    """

    def __init__(
        self,
        model: nn.Module,
        flow: CompactFlow,
        objective: Objective,
        rows: Tensor,
        hold_out: HoldOut,
        options: TrainingOptions,
        generator: torch.Generator,
    ) -> None:
        self._model, self._objective, self._options = model, objective, options
        self._generator = generator
        # So many rows of each flow as make the reference rows, or just more, in all.
        self._rows = min(_REFERENCE_ROWS, max(_REFERENCE_NUMBERS // flow.dim, 2))
        each = -(-self._rows // hold_out.members)
        self._judging = in_turn(rows, hold_out.judging_rows()[:each])
        self._trained = in_turn(rows, hold_out.training_rows()[:each])
        self._stack, self._flow = flow.backbone, flow
        if options.compile:  # a copy, as checks in other shapes than the steps' would be, too
            self._flow = CompactFlow(copy.deepcopy(flow.backbone), flow.latent)
        self._reference, settled = self._settle(2 * self._rows).chunk(2)
        self._within = within(self._reference)
        self.history: History = {}
        self._best, self._checks_since_best = math.inf, 0
        self._noise = self._measure_noise(settled)
        self._kept = _copied(model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything that later decisions depend on."""
        return {
            "reference": self._reference,
            "history": self.history,
            "best": self._best,
            "checks_since_best": self._checks_since_best,
            "noise": self._noise,
            "kept": self._kept,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` gave."""
        self._reference = state["reference"].to(self._reference)
        self._within = within(self._reference)
        self.history = state["history"]
        self._best, self._checks_since_best = state["best"], state["checks_since_best"]
        self._noise, self._kept = state["noise"], state["kept"]

    def restore(self) -> None:
        """Give the model the kept weights."""
        self._model.load_state_dict(self._kept)

    @torch.no_grad()
    def check(self, step: int, loss: float) -> tuple[bool, str]:
        """Monitor the weights and keep them if good.

        Returns:
            Whether to go on, and how training ran away, or ``""``.
        """
        record = {"step": step, "loss": loss, **self._measure()}
        # All at once, so that an interrupt leaves no record torn.
        self.history.update({k: [*self.history.get(k, []), v] for k, v in record.items()})
        bad = [name for name, value in record.items() if not math.isfinite(value)]
        if bad:
            return False, f"{' and '.join(bad)} became not finite"
        return self._decide(step)

    def _measure(self) -> dict[str, float]:
        """What the monitors find of the weights as they are."""
        if self._flow.backbone is not self._stack:
            self._flow.backbone.load_state_dict(self._stack.state_dict())
        if self._objective.trained():
            self._reference = self._settle(self._rows)
            self._within = within(self._reference)
        given, rows = bind(self._flow.backbone, torch.cat([self._judging, self._trained]))
        latents, trained = given(rows).tensor_split([len(self._judging)])
        found = monitor(
            self._flow,
            self._judging,
            self._reference,
            self._generator,
            z=latents,
            within_reference=self._within,
        )
        return {**found, "training_energy_distance": self._energy(trained)}

    def _decide(self, step: int) -> tuple[bool, str]:
        """Keep the weights if good, and say whether to go on, as `check` does."""
        energies = self.history["training_energy_distance"]
        first, energy = energies[0], energies[-1]
        self._best = min(self._best, energy)
        floor = _NOISE_FLOOR * self._within
        runaway = energy > 4 * max(first, floor)
        # The longest trained weights detect best, even where their latents are not nearest. An
        # entropic push is stable, and goes on.
        entropic = self._objective.push.entropic
        if not runaway:
            self._kept = _copied(self._model.state_dict())
        if energy <= self._best + self._noise or (entropic and not runaway):
            self._checks_since_best = 0
        else:
            self._checks_since_best += 1
        options = self._options
        go_on = self._checks_since_best < options.patience and step < options.max_steps
        rose = f"the latent energy distance rose from {first:.3g} to {energy:.3g}"
        return go_on, rose if runaway and not go_on else ""

    def _energy(self, z: Tensor) -> float:
        return latent_energy(self._flow, z, self._reference, self._within)

    def _settle(self, n: int) -> Tensor:
        pull, entropic = self._objective.pull, self._objective.push.entropic
        draw = pull.settle if entropic else pull.latent.sample
        return draw(n, self._generator)

    @torch.no_grad()
    def _measure_noise(self, settled: Tensor) -> float:
        """Standard deviation of the energy distance of settled latents, as many as rows."""
        # With replacement, as there may be no more settled latents than rows.
        picked = [
            torch.randint(
                len(settled),
                (len(self._trained),),
                generator=self._generator,
                device=settled.device,
            )
            for _ in range(_DRAWS)
        ]
        energies = resampled_energies(
            self._flow, settled, torch.stack(picked), self._reference, self._within
        )
        return float(energies.std(correction=0))


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a module's state; tensors are cloned, which is faster than a deep copy."""
    return {
        name: value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in state.items()
    }
