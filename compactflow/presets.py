"""Named sets of settings: the default, and the paper's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from compactflow.preprocessing import Method
from compactflow.training.trainer import TrainingOptions

__all__ = ["PRESETS", "Schedule", "Settings"]

_FEW = 32  # features up to which eight small networks side by side cost less than twice four


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What ``"auto"`` stands for.

    Attributes:
        members: Flows in the ensemble, of a backbone whose networks run as one.
        steps: Optimiser steps in up to 64 dimensions; in more, 64/D times as many.
        learning_rate: Peak of the schedule.
    """

    members: int = 4
    steps: int = 2000
    learning_rate: float = 3e-3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a preset decides, for every argument of `OneClassFlow` that is left at ``None``.

    Attributes:
        push: The push.
        pull: The pull, or ``None`` for the one that suits the latent and the push.
        preprocessing: The fixed first layer.
        noise: Standard deviation of the training noise in preprocessed units, or ``"auto"`` for
            ``0.25 N^(-1/(D+4))``, a quarter of Silverman's bandwidth.
        members: Flows in the ensemble, or ``"auto"`` for the schedule's of a backbone whose
            networks train side by side, given by name or class, and 1 of any other.
        max_steps: Optimiser steps at most, or ``"auto"`` for the schedule's.
        batch_size: Rows per step.
        learning_rate: Peak of the schedule, or ``"auto"``.
        boundary: ``"natural"`` or the share of inliers to hold.
        schedules: Per backbone name, those for few features, up to 32, and for more.
        backbone_options: Options per backbone name.
        push_options: Options per push name.
    """

    push: Any
    pull: Any
    preprocessing: Method
    noise: float | str
    members: int | str
    max_steps: int | str
    batch_size: int
    learning_rate: float | str
    boundary: float | str
    schedules: dict[str, tuple[Schedule, Schedule]] = field(default_factory=dict)
    backbone_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    push_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def replace(self, **arguments: Any) -> Settings:  # noqa: ANN401
        """These settings with the arguments that are not ``None`` in their place."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return dataclasses.replace(self, **given)

    def schedule(self, backbone: object, dim: int) -> Schedule:
        """What ``"auto"`` stands for, of a backbone as it was given and `dim` features."""
        few, many = self.schedules.get(str(backbone), (Schedule(), Schedule()))
        return few if dim <= _FEW else many

    def training_options(
        self, schedule: Schedule, n: int, dim: int, compile: bool, verbose: bool
    ) -> TrainingOptions:
        """How to train on data ``(n, dim)``: what is ``"auto"`` is decided here."""
        rate = self.learning_rate
        auto_steps = schedule.steps * 64 // max(dim, 64)
        steps = auto_steps if self.max_steps == "auto" else int(self.max_steps)
        return TrainingOptions(
            max_steps=max(1, steps),
            batch_size=self.batch_size,
            learning_rate=schedule.learning_rate if rate == "auto" else float(rate),
            noise=0.25 * n ** (-1 / (dim + 4)) if self.noise == "auto" else float(self.noise),
            compile=compile,
            verbose=verbose,
        )


PRESETS = {
    None: Settings(
        push="stein",
        pull=None,
        preprocessing="half-whiten",
        noise="auto",
        members="auto",
        max_steps="auto",
        batch_size=128,
        learning_rate="auto",
        boundary=0.95,
        # An ensemble of many flows can do with fewer steps of each, if these are larger.
        schedules={
            "coupling": (
                Schedule(members=8, steps=1200, learning_rate=0.03),
                Schedule(members=4, steps=2000, learning_rate=0.01),
            )
        },
        backbone_options={"coupling": {"blocks": 8, "width": 64}},
        # Coarser than the class's default, which is for sharp walls: less noise in the gradient.
        push_options={"stein": {"sigma": 0.25}},
    ),
    # Schmier, Köthe, Straehle (2024). The paper gives the network, the latent, the pull and the
    # step; the learning rate is the largest at which the mirror push stays usable.
    "paper": Settings(
        push="mirror",
        pull="max-abs",
        preprocessing="standardise",
        noise=0.05,
        members=1,
        max_steps=2000,
        batch_size=256,
        learning_rate=1e-4,
        boundary="natural",
        backbone_options={
            "coupling": {
                "blocks": 12,
                "width": 128,
                "activation": "relu",
                "clamp": 2.0,
                "permutation": "soft",
                "horizon": None,
            }
        },
    ),
}
