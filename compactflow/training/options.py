"""How to train, what comes of it, and the warning when it went wrong."""

from __future__ import annotations

from dataclasses import dataclass

from compactflow.training.optimisation import OptimizerChoice, ScheduleChoice

__all__ = [
    "History",
    "TrainingDivergedWarning",
    "TrainingInterruptedWarning",
    "TrainingOptions",
]

History = dict[str, list[float]]


class TrainingDivergedWarning(RuntimeWarning):
    """Training ran away and was stopped; the last good weights are in use."""


class TrainingInterruptedWarning(UserWarning):
    """The user interrupted training; the best weights so far are in use."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How to train.

    Attributes:
        max_steps: Optimiser steps at most.
        batch_size: Rows per step and network of the backbone, drawn with replacement.
        learning_rate: Where the schedule begins, or of one cycle its peak.
        optimizer: ``"adam"``, ``"adamw"``, ``"nadam"``, ``"radam"``, ``"rmsprop"`` or ``"sgd"``
            (with momentum), or a class or function to call with ``(parameters, lr=rate)``.
        schedule: ``"one-cycle"``, ``"cosine"``, ``"linear"`` (both down to 0) or ``"constant"``,
            or a function to call with ``(optimizer, steps)``, or one of torch's classes that needs
            nothing but the number of steps.
        noise: Standard deviation of the normal noise added to each batch, in preprocessed units.
        clip: Bound on the gradient's norm.
        warm_up: Share of `max_steps` spent on carrying rows to their anchors, if there are any.
        checks: How often, over `max_steps`, to monitor and consider stopping.
        patience: Checks in a row, worse than the best by more than noise, after which to stop.
        compile: Compile the steps, where that is possible.
        verbose: Show progress: a bar on a terminal, elsewhere a line every half minute.

    Examples:
        >>> TrainingOptions(max_steps=500, learning_rate=1e-2).batch_size
        256
    """

    max_steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 1e-3
    optimizer: OptimizerChoice = "adam"
    schedule: ScheduleChoice = "one-cycle"
    noise: float = 0.15
    clip: float = 1.0
    warm_up: float = 0.2
    checks: int = 20
    patience: int = 10
    compile: bool = False
    verbose: bool = False
