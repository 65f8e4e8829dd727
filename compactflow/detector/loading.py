"""Detectors from model files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from compactflow.detector.calibration import Calibration
from compactflow.detector.estimator import OneClassFlow
from compactflow.detector.screening import Ranges
from compactflow.detector.settings import Settings, argument_of
from compactflow.devices import find_device, find_dtype
from compactflow.encoding.plain import of_plain
from compactflow.persistence import model as models
from compactflow.persistence.archive import ArchiveError
from compactflow.persistence.components import describe_parts
from compactflow.persistence.model import Model
from compactflow.text import message_of

__all__ = ["load"]


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: Literal["float32", "float64"] | None = None,
) -> OneClassFlow:
    """Load a fitted detector that `OneClassFlow.save` wrote, of this format or an older one.

    Nothing in the file is executed, and components are looked up in the registry only: a file
    cannot make other modules load.

    Args:
        path: The model file or folder.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or another torch device name.
        dtype: Precision of backbone and latent, ``"float32"`` or ``"float64"``; by default the
            finest that the device has. The first layer stays in that, since data may have large
            offsets.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a model, is damaged or of a newer format (`ArchiveError`),
            if a component is not installed (the message has the line that installs it), or if
            an argument is unknown.
    """
    place, precision = find_device(device), find_dtype(dtype)
    model = models.read(path)
    try:
        detector = _detector(model)
    except Exception as error:  # a hostile file can have anything anywhere
        raise ArchiveError(
            f"{os.fspath(path)!r} does not describe a model: {message_of(error)}"
        ) from error
    detector.device = device
    detector.ensemble_.place(place)
    if precision is not None:
        detector.ensemble_.cast(precision)
    return detector


def _detector(model: Model) -> OneClassFlow:
    detector = OneClassFlow(**_spell_out(model))
    encoder = None if model.encoder is None else of_plain(model.encoder)
    if encoder is not None and encoder.dim != model.ensemble.dim:
        raise ValueError(f"its encoder makes {encoder.dim} features of {model.ensemble.dim}")
    if (encoder.categories if encoder else []) != list(model.ensemble.categories):
        raise ValueError("its encoder and its flows have other contexts")
    fitted: dict[str, Any] = {
        "settings_": Settings.of(detector.get_params(deep=False)),
        "encoder_": encoder,
        "n_features_in_": model.ensemble.dim if encoder is None else len(encoder.columns),
        "ensemble_": model.ensemble,
        "calibration_": Calibration.of(model.scores.numpy(), held_out=model.held_out),
        "history_": dict(model.history),
    }
    fitted["ranges_"] = None if model.ranges is None else Ranges(*map(Tensor.numpy, model.ranges))
    if model.feature_names:
        fitted["feature_names_in_"] = np.array(model.feature_names, dtype=object)
    detector.__dict__.update(fitted)
    return detector


def _spell_out(model: Model) -> dict[str, Any]:
    """A model's arguments, and as such what was left to defaults that have changed since.

    A model that is loaded and saved again, or fitted again, then keeps its components.
    """
    params = dict(model.params)
    for kind, now in describe_parts(Settings.of(params).parts).items():
        if now["name"] != model.components[kind]["name"]:
            params[argument_of(kind)] = model.components[kind]["name"]
    for kind, now in describe_parts(Settings.of(params).parts).items():
        changed = {
            name: value
            for name, value in model.components[kind]["options"].items()
            if name not in now["options"] or not _same(now["options"][name], value)
        }
        argument = f"{kind}_options"
        given = params.get(argument) or {}
        if given.keys() - model.components[kind]["options"].keys():
            raise ValueError(f"{argument} has others than the {kind} was made with")
        if changed:
            params[argument] = {**given, **changed}
    return params


def _same(one: object, other: object) -> bool:
    """Whether two options are equal as a file holds them, where a tuple is a list."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)
