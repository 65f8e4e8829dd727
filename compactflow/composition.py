"""From a detector's arguments to its parts: settings, classes and the composed flow."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from sklearn.utils import check_scalar
from torch import Tensor

from compactflow import registry
from compactflow.backbones.base import Backbone
from compactflow.contracts import (
    check_backbone,
    check_call,
    check_latent,
    check_made,
    check_push,
)
from compactflow.flows.ensemble import Ensemble
from compactflow.latents.base import Latent
from compactflow.plugins import Kind
from compactflow.preprocessing import Preprocessing
from compactflow.presets import PRESETS, Settings
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

if TYPE_CHECKING:
    from compactflow.estimator import OneClassFlow

__all__ = [
    "Part",
    "adapt",
    "compose",
    "find_class",
    "find_parts",
    "find_settings",
    "make_latent",
    "make_networks",
    "make_probe",
]

_MEMBERS = 8  # beyond which more gain little

_BASES: dict[Kind, type] = {"backbone": Backbone, "latent": Latent, "pull": Pull, "push": Push}


def find_settings(detector: OneClassFlow) -> Settings:
    """The preset's settings with the detector's own arguments in their place, checked.

    Raises:
        ValueError: If an argument is out of range or the preset unknown.
        TypeError: If an argument has the wrong type.
    """
    if detector.preset not in PRESETS:
        names = ", ".join(repr(name) for name in PRESETS)
        raise ValueError(f"preset must be one of {names}, got {detector.preset!r}")
    settings = PRESETS[detector.preset].replace(
        pull=detector.pull,
        push=detector.push,
        preprocessing=detector.preprocessing,
        noise=detector.noise,
        members=detector.members,
        max_steps=detector.max_steps,
        batch_size=detector.batch_size,
        learning_rate=detector.learning_rate,
        boundary=detector.boundary,
    )
    if detector.learning_rate is None:
        own = settings.learning_rates.get(str(detector.backbone))
        settings = settings.replace(learning_rate=own)
    if settings.members != "auto":
        check_scalar(settings.members, "members", Integral, min_val=1)
    if settings.max_steps != "auto":
        check_scalar(settings.max_steps, "max_steps", Integral, min_val=1)
    check_scalar(settings.batch_size, "batch_size", Integral, min_val=1)
    _check_real("learning_rate", settings.learning_rate, inf, zero=False)
    _check_real("validation_fraction", detector.validation_fraction, 1, zero=True)
    if settings.noise != "auto":
        _check_real("noise", settings.noise, inf, zero=True)
    if settings.boundary != "natural":
        _check_real("boundary", settings.boundary, 1, zero=False)
    return settings


def _check_real(name: str, value: object, below: float, *, zero: bool) -> None:
    """Check that 0 ≤ value < below, without 0 unless `zero`."""
    closed = "left" if zero else "neither"
    check_scalar(value, name, Real, min_val=0, max_val=below, include_boundaries=closed)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A component as it was chosen.

    Attributes:
        choice: Its name, class or instance.
        options: The keyword arguments to make it with.
    """

    choice: Any
    options: dict[str, Any]


def find_parts(detector: OneClassFlow) -> dict[Kind, Part]:
    """The detector's four components and their options, with the preset's where it has none.

    A pull left open is the latent's: the confining one for an entropic push, else the default.

    Raises:
        ValueError: If a name is unknown, or an argument is out of range.
    """
    settings = find_settings(detector)
    pull = settings.pull
    if pull is None:
        latent, push = find_class("latent", detector.latent), find_class("push", settings.push)
        pull = latent.confining_pull if push.entropic else latent.default_pull
    of_backbone = settings.backbone_options.get(str(detector.backbone), {})
    of_push = settings.push_options.get(str(settings.push), {})
    return {
        "backbone": Part(
            choice=detector.backbone, options=of_backbone | dict(detector.backbone_options or {})
        ),
        "latent": Part(choice=detector.latent, options=dict(detector.latent_options or {})),
        "pull": Part(choice=pull, options=dict(detector.pull_options or {})),
        "push": Part(choice=settings.push, options=of_push | dict(detector.push_options or {})),
    }


def find_class(kind: Kind, value: Any) -> Any:  # noqa: ANN401
    """The class or function behind a name; a class or instance as it is.

    Raises:
        ValueError: If a name is unknown, or the component is not of its kind.
    """
    found = registry.resolve(kind, value)
    base = _BASES[kind]
    made = kind == "backbone" and isinstance(found, FunctionType)
    if not (
        made or isinstance(found, base) or (isinstance(found, type) and issubclass(found, base))
    ):
        raise ValueError(
            f"{kind} must be a name, a subclass or an instance of {base.__name__}, got {value!r}"
        )
    if kind == "push":
        check_push(found)
    return found


def make_networks(parts: Mapping[Kind, Part], dim: int, members: int | str) -> list[Backbone]:
    """Make the backbones of an ensemble; one given as an instance is copied.

    Args:
        parts: The components.
        dim: The number of features D.
        members: The number of flows, or ``"auto"``: see `compactflow.presets.Settings`.

    Raises:
        ValueError: If the backbone is unknown, none or refuses its options; or if several are to
            be made of one instance.
    """
    first = _make("backbone", parts, dim)
    check_backbone(first)
    given = isinstance(parts["backbone"].choice, Backbone)
    if members == "auto":
        members = 1 if given or not first.parallel else _MEMBERS
    elif given and members != 1:
        raise ValueError(
            f"members must be 1 for a backbone given as an instance, got {members}, as its copies "
            "would all start equal; give the backbone by name or class"
        )
    return [first, *(_make("backbone", parts, dim) for _ in range(int(members) - 1))]


def make_latent(parts: Mapping[Kind, Part], dim: int) -> Latent:
    """Make the latent; one given as an instance is copied.

    Raises:
        ValueError: As for `compose`, or if its constraints have another shape than ``(N, M)``.
    """
    latent: Latent = _make("latent", parts, dim)
    check_latent(latent)
    return latent


def adapt(
    parts: Mapping[Kind, Part], latent: Latent, layer: Preprocessing, x: Tensor, rows: Tensor
) -> Tensor | None:
    """Fit a latent to inliers: see `Latent.adapt`.

    Args:
        parts: The components.
        latent: The latent, on the device of x.
        layer: The first layer, likewise.
        x: Inliers, ``(N, D)``, in data units.
        rows: Indices of those that the latent may see.

    Returns:
        Anchors, ``(N, D)``, with zeros for what it may not see; or ``None``.

    Raises:
        ValueError: If a saved model would not have what the latent has learned.
    """
    if type(latent).adapt is Latent.adapt:
        return None
    y = layer(x[rows]).to(latent.like)
    anchors = latent.adapt(y)
    fresh = make_latent(parts, latent.dim).to(y)
    fresh.load_state_dict(latent.state_dict())
    if not torch.equal(fresh.constraints(y), latent.constraints(y)):
        raise ValueError(
            f"{type(latent).__name__}.adapt sets what a saved model would not have: register it "
            "as buffers, by register_buffer in __init__"
        )
    return None if anchors is None else torch.zeros_like(x).to(y).index_copy_(0, rows, anchors)


def compose(
    parts: Mapping[Kind, Part],
    networks: Sequence[Backbone],
    layers: Sequence[Preprocessing],
    latent: Latent,
) -> tuple[Ensemble, Push]:
    """Make an ensemble of flows around its backbones, and the push to train it.

    Components given as instances are copied, so that a fit leaves them as they were.

    Args:
        parts: The components.
        networks: The backbones.
        layers: The flows' first layers.
        latent: The flows' latent, which has seen the data if it fits itself to them.

    Raises:
        ValueError: If a component is unknown, not of its kind, or refuses its options.
    """
    pull = _make("pull", parts, latent)
    pull.latent = latent  # the flows' own, if the pull was given as an instance
    return Ensemble(networks, layers, pull), _make("push", parts)


def make_probe(detector: OneClassFlow) -> tuple[Pull, Push]:
    """The detector's pull and push, for a latent of few features unless it has its own.

    Raises:
        ValueError: If a name, an option or a setting is unknown or out of range.
    """
    parts = find_parts(detector)
    find_class("backbone", parts["backbone"].choice)
    latent = _probe_latent(parts)
    return _make("pull", parts, latent), _make("push", parts)


def _probe_latent(parts: Mapping[Kind, Part]) -> Latent:
    """The latent in some dimension that it takes: its own, that of an option, or a few others."""
    own = getattr(parts["latent"].choice, "dim", None)
    if isinstance(own, int):
        return make_latent(parts, own)
    options = parts["latent"].options.values()
    dims = [2, *(len(value) for value in options if isinstance(value, Sized)), 3, 4, 8, 16, 64]
    failure: ValueError | None = None
    for dim in dims:
        try:
            return make_latent(parts, dim)
        except ValueError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _make(kind: Kind, parts: Mapping[Kind, Part], *args: Any) -> Any:  # noqa: ANN401
    component, options = find_class(kind, parts[kind].choice), parts[kind].options
    if isinstance(component, _BASES[kind]):
        if options:
            raise ValueError(
                f"{kind}_options are for a {kind} given by name or class, and this one is an "
                "instance; set its options where you make it"
            )
        return copy.deepcopy(component)
    check_call(kind, component, args, options)
    made = component(*args, **options)
    check_made(kind, component, made, _BASES[kind])
    return made
