"""A detector as a model file holds it, which `loading` takes from there, or a graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch

from compactflow.detector.calibration import Boundary
from compactflow.detector.settings import Settings, argument_of
from compactflow.encoding.plain import to_plain
from compactflow.persistence.components import describe_parts
from compactflow.persistence.model import Model
from compactflow.plugins import Kind

__all__ = ["as_model", "export_graph"]


def as_model(detector: Any) -> Model:  # noqa: ANN401
    """A fitted detector in no particular class."""
    components, ranges = describe_parts(detector.settings_.parts), detector.ranges_
    return Model(
        params=_plain_arguments(detector.settings_, components, detector.boundary),
        components=components,
        ensemble=detector.ensemble_,
        feature_names=[str(name) for name in getattr(detector, "feature_names_in_", [])],
        scores=torch.from_numpy(detector.calibration_.scores),
        held_out=detector.calibration_.held_out,
        history=detector.history_,
        encoder=detector.encoder_ and to_plain(detector.encoder_),
        ranges=ranges and (torch.from_numpy(ranges.low), torch.from_numpy(ranges.high)),
    )


def export_graph(detector: Any, path: str | os.PathLike[str]) -> None:  # noqa: ANN401
    """Write a fitted detector as one graph: see `EnsembleDetector.export`."""
    from compactflow.exporting.files import export  # which takes seconds

    if detector.encoder_ is not None:
        raise ValueError(
            "a graph takes numbers, and this detector was fitted on a table with other columns: "
            + "; ".join(f"{name!r} {taken}" for name, taken in detector.columns_.items())
            + ". Write it by save instead, or fit on numbers that you have encoded yourself"
        )
    calibration, ranges = detector.calibration_, detector.ranges_
    export(
        path,
        detector.ensemble_,
        known=calibration.scores if calibration.held_out else None,
        features=[str(name) for name in getattr(detector, "feature_names_in_", ())],
        ranges=ranges and (ranges.low, ranges.high),
    )


def _plain_arguments(
    settings: Settings,
    components: Mapping[Kind, Mapping[str, Any]],
    boundary: Boundary | None,
) -> dict[str, Any]:
    """The arguments of a fitted detector: as it was fitted, whatever was set since.

    A component is its name. What is no part of what was fitted is left out: an optimiser or
    schedule given as a class or function, the state of a random generator, the device.

    Args:
        settings: Those of the fit.
        components: By kind the name and the options: see
            `compactflow.persistence.components.describe_parts`.
        boundary: The boundary, which may be another than in the fit.
    """
    free = {"device": "auto", "verbose": False}
    params = dict(settings.arguments) | free | {"boundary": boundary}
    for kind, component in components.items():
        if not isinstance(params[argument_of(kind)], str | None):
            params[argument_of(kind)] = component["name"]
        given = params[f"{kind}_options"]  # which may name components by their classes
        params[f"{kind}_options"] = given and {name: component["options"][name] for name in given}
    if not isinstance(params["random_state"], Integral | None):
        params["random_state"] = None
    for name in ("optimizer", "schedule"):
        if not isinstance(params[name], str):
            params[name] = None
    return params
