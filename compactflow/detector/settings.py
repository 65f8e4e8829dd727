"""A detector's arguments, resolved once and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, final

from sklearn.utils import check_scalar

from compactflow.detector.calibration import Boundary
from compactflow.detector.presets import PRESETS, Preset
from compactflow.flows.components import Part, find_class
from compactflow.flows.nearness import Nearness
from compactflow.plugins import Kind, registry
from compactflow.pushes.mirror import Mirror
from compactflow.training.optimisation import (
    OptimizerChoice,
    ScheduleChoice,
    find_optimizer,
    find_schedule,
)
from compactflow.training.options import TrainingOptions

__all__ = ["Settings", "argument_of", "check_share"]

# The kinds of which a list is a chain, with the option that names its links.
_CHAINED: dict[Kind, str] = {"backbone": "links", "preprocessing": "layers"}
_CHECKS = 20  # while training, or fewer of a short one, whose time they would take
_STEPS_A_CHECK = 25

_Choice = TypeVar("_Choice")


@final
@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `OneClassFlow`, resolved: the preset's value stands where one is left out.

    An attribute that is not named here is the argument of that name.

    Attributes:
        arguments: These, as they were given.
        parts: The six components with their options.

    Examples:
        >>> settings = Settings.of({"max_steps": 500})
        >>> settings.max_steps, settings.batch_size, settings.parts["pull"].choice
        (500, 128, 'barrier')
    """

    arguments: Mapping[str, Any] = field(repr=False)
    parts: Mapping[Kind, Part]
    noise: float | Literal["auto"]
    members: int | Literal["auto"]
    max_steps: int | Literal["auto"]
    batch_size: int
    learning_rate: float
    optimizer: OptimizerChoice
    schedule: ScheduleChoice
    clip: float
    patience: int
    validation_fraction: float | Literal["auto"]
    outlier_share: float
    boundary: Boundary
    device: str
    compile: bool
    verbose: bool

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Settings:
        """Resolve arguments, of which any may be missing.

        Raises:
            ValueError: If an argument is out of range, or the preset or a component unknown.
            TypeError: If an argument has the wrong type.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        name = given.get("preset")
        if not isinstance(name, str | None) or name not in PRESETS:
            names = ", ".join(repr(name) for name in PRESETS)
            raise ValueError(f"preset must be one of {names}, got {name!r}")
        preset = PRESETS[name]
        backbone = given.get("backbone", "coupling")
        rate = preset.learning_rates.get(_name("backbone", backbone), preset.learning_rate)
        own = vars(preset) | {
            "learning_rate": rate,
            "validation_fraction": "auto",
            "outlier_share": 0.0,
        }
        chosen = {name: given.get(name, value) for name, value in own.items()}
        boundary: Boundary = _real("boundary", chosen, 1, words=("natural", "bare"))
        if isinstance(boundary, str) and "score_by" not in given:
            chosen["score_by"] = "support"
        return cls(
            arguments=dict(arguments),
            parts=_parts(preset, given | {"score": _score(chosen["score_by"], boundary)}),
            noise=_real("noise", chosen, inf, zero=True, words=("auto",)),
            members=_count("members", chosen, word="auto"),
            max_steps=_count("max_steps", chosen, word="auto"),
            batch_size=_count("batch_size", chosen),
            learning_rate=_real("learning_rate", chosen, inf),
            optimizer=_checked(chosen["optimizer"], find_optimizer),
            schedule=_checked(chosen["schedule"], find_schedule),
            clip=inf if chosen["clip"] == inf else _real("clip", chosen, inf),
            patience=_count("patience", chosen),
            validation_fraction=_real(
                "validation_fraction", chosen, 1, zero=True, words=("auto",)
            ),
            outlier_share=_real("outlier_share", chosen, 0.5, zero=True),
            boundary=boundary,
            device=given.get("device", "auto"),
            compile=bool(given.get("compile", False)),
            verbose=bool(given.get("verbose", False)),
        )

    def training_options(self, n: int, dim: int, *, members: int) -> TrainingOptions:
        """How to train flows on data ``(n, dim)``: what is ``"auto"`` is decided here."""
        if isinstance(self.max_steps, int):
            steps, checks = self.max_steps, _CHECKS
        else:
            # The mean of several needs less of each, and less still to place a level by.
            most = 2000 if members == 1 else 600 if isinstance(self.boundary, str) else 400
            if self.parts["push"].choice in ("mirror", Mirror):
                most = min(most, 600)  # more of it draws the rows together
            steps = max(1, min(most, most * 64 // dim))
            if members > 1 and self.parts["score"].choice in ("neighbours", Nearness):
                steps = min(steps, 200)  # distances are right before densities are
            checks = max(1, min(_CHECKS, steps // _STEPS_A_CHECK))
        return TrainingOptions(
            max_steps=steps,
            checks=checks,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            schedule=self.schedule,
            clip=self.clip,
            patience=self.patience,
            noise=0.25 * n ** (-1 / (dim + 4)) if self.noise == "auto" else self.noise,
            compile=self.compile,
            verbose=self.verbose,
        )


def argument_of(kind: Kind) -> str:
    """The argument that names a component of a kind."""
    return "score_by" if kind == "score" else kind


def _parts(preset: Preset, given: Mapping[str, Any]) -> dict[Kind, Part]:
    """The six components and their options.

    A pull left open is the latent's: the default for a push that compares with samples and needs
    it, else the confining one, of which the latent's density is made.
    """
    backbone, latent = given.get("backbone", "coupling"), given.get("latent", preset.latent)
    push, pull = given.get("push", preset.push), given.get("pull", preset.pull)
    if pull is None:
        of_latent, of_push = find_class("latent", latent), find_class("push", push)
        compares = of_push.pulled and not of_push.entropic
        pull = of_latent.default_pull if compares else of_latent.confining_pull
    choices: dict[Kind, Any] = {
        "backbone": backbone,
        "latent": latent,
        "pull": pull,
        "push": push,
        "preprocessing": given.get("preprocessing", preset.preprocessing),
        "score": given["score"],
    }
    presets = {
        "backbone": preset.backbone_options.get(_name("backbone", backbone), {}),
        "push": preset.push_options.get(_name("push", push), {}),
    }
    parts = {
        kind: Part(
            choice=choice, options={**presets.get(kind, {}), **given.get(f"{kind}_options", {})}
        )
        for kind, choice in choices.items()
    }
    chained = {
        kind: choice for kind, choice in choices.items() if isinstance(choice, list | tuple)
    }
    return parts | {kind: _chain(kind, choice, given) for kind, choice in chained.items()}


def _chain(kind: Kind, choice: Sequence[Any], given: Mapping[str, Any]) -> Part:
    """What a list of components stands for."""
    if kind not in _CHAINED:
        raise ValueError(f"{kind} must be a single component, got {choice!r}")
    if given.get(f"{kind}_options"):
        raise ValueError(
            f"{kind}_options are for a single {kind}; in a list give each its own, as "
            "{'name': …, 'options': {…}}"
        )
    return Part(choice="chain", options={_CHAINED[kind]: list(choice)})


def _name(kind: Kind, value: object) -> str:
    """The name by which presets call a component; it may be given by an alias of it."""
    return registry.find(kind, value).name if isinstance(value, str) else ""


def _checked(value: _Choice, check: Callable[[object], object]) -> _Choice:
    check(value)
    return value


def _score(value: Any, boundary: Boundary) -> Any:  # noqa: ANN401
    """What score_by names, checked."""
    try:
        found = find_class("score", value)
    except ValueError as error:
        raise ValueError(f"score_by does not serve: {error}") from error
    if isinstance(boundary, str) and not found.natural:
        raise ValueError(
            f"boundary={boundary!r} is the boundary of the latent's support, so it goes with "
            "score_by='support' only; leave out score_by, or give boundary a level"
        )
    return value


def _count(name: str, chosen: Mapping[str, Any], *, word: str | None = None) -> Any:  # noqa: ANN401
    """A whole number, at least 1, or the word."""
    value = chosen[name]
    if word is not None and isinstance(value, str) and value == word:
        return value
    return int(check_scalar(value, name, Integral, min_val=1))


def _real(
    name: str,
    chosen: Mapping[str, Any],
    below: float,
    *,
    zero: bool = False,
    words: Sequence[str] = (),
) -> Any:  # noqa: ANN401
    """A number in (0, below), or from 0 on if `zero`, or one of the words."""
    value = chosen[name]
    if isinstance(value, str) and value in words:
        return value
    closed = "left" if zero else "neither"
    check_scalar(value, name, Real, min_val=0, max_val=below, include_boundaries=closed)
    if isnan(value):
        raise ValueError(f"{name} must be a number, got nan")
    return float(value)


def check_share(name: str, value: object) -> float:
    """A number strictly between 0 and 1.

    Raises:
        ValueError: If it is not.
    """
    try:
        share: float = _real(name, {name: value}, 1)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return share
