"""Named sets of settings: the default, and the paper's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from compactflow.preprocessing import Method
from compactflow.training.trainer import TrainingOptions

__all__ = ["PRESETS", "Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a preset decides, for every argument of `OneClassFlow` that is left at ``None``.

    Attributes:
        push: The push.
        pull: The pull, or ``None`` for the one that suits the latent and the push.
        preprocessing: The fixed first layer.
        noise: Standard deviation of the training noise in preprocessed units, or ``"auto"`` for
            ``0.25 N^(-1/(D+4))``, a quarter of Silverman's bandwidth.
        members: Flows in the ensemble, or ``"auto"`` for 8 of a backbone whose networks train
            side by side, given by name or class, and 1 of any other.
        max_steps: Optimiser steps at most, or ``"auto"`` for 2000 of one flow and 1200 of
            several, and ``64/D`` times as many in more than 64 dimensions, as a step's cost grows
            with D.
        batch_size: Rows per step.
        learning_rate: Peak of the schedule.
        learning_rates: Other peaks, per backbone name.
        boundary: ``"natural"`` or the share of inliers to hold.
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
    learning_rate: float
    boundary: float | str
    learning_rates: dict[str, float] = field(default_factory=dict)
    backbone_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    push_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def replace(self, **arguments: Any) -> Settings:  # noqa: ANN401
        """These settings with the arguments that are not ``None`` in their place."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return dataclasses.replace(self, **given)

    def training_options(
        self, n: int, dim: int, *, members: int, compile: bool, verbose: bool
    ) -> TrainingOptions:
        """How to train flows on data ``(n, dim)``: what is ``"auto"`` is decided here."""
        most = 2000 if members == 1 else 1200  # the mean of several needs less of each
        scaled = max(1, min(most, most * 64 // dim))
        return TrainingOptions(
            max_steps=scaled if self.max_steps == "auto" else int(self.max_steps),
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
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
        learning_rate=3e-3,
        boundary=0.95,
        learning_rates={"coupling": 4e-2},
        backbone_options={"coupling": {"blocks": 8, "width": 128, "clamp": 1.0}},
        # Coarser than the class's default, which is for sharp walls: less noise in the gradient.
        push_options={"stein": {"sigma": 0.3}},
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
