"""Fitted detectors on disk: weights and JSON, in one file or a folder (`compactflow.archive`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import isfinite
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import compactflow
from compactflow import archive, registry
from compactflow.archive import ArchiveError
from compactflow.calibration import Calibration
from compactflow.composition import (
    Part,
    compose,
    find_parts,
    find_settings,
    make_latent,
    make_networks,
)
from compactflow.devices import find_device, find_dtype, fresh_defaults
from compactflow.limits import allocation_limit
from compactflow.migrations import MIGRATIONS, VERSION
from compactflow.plugins import Kind
from compactflow.preprocessing import Preprocessing
from compactflow.provenance import changes, describe, find_classes, versions
from compactflow.randomness import drawing_from, seeded
from compactflow.screening import Ranges
from compactflow.text import message_of

if TYPE_CHECKING:
    from compactflow.estimator import OneClassFlow

__all__ = ["load", "save"]

_KINDS: tuple[Kind, ...] = ("backbone", "latent", "pull", "push")

# The types of a model's entries.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "versions": dict,
    "components": dict,
    "params": dict,
    "feature_names": list,
    "flows": list,
    "pull": dict,
    "pull_weight": (int, float),
    "offset": (int, float),
    "calibration": dict,
    "history": dict,
}


def save(detector: OneClassFlow, path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Write a fitted detector to one file or to a folder, atomically.

    It holds weights, preprocessing, decision threshold, feature names, training history,
    the detector's arguments, and for each component its name, all its options and the
    distribution and version it comes from. A class given as a component is written by the name
    it is registered under.

    Args:
        detector: What to write.
        path: The file or folder to make or replace.
        folder: Whether to write a folder: ``model.json``, to read, beside a safetensors file of
            weights.

    Raises:
        ValueError: If a component was given as an instance, or as a class that has no name, or
            if a weight is not finite.
        TypeError: If an option is neither a number, a string, a list nor a mapping.
        FileNotFoundError: If the folder does not exist.
    """
    components = {kind: describe(kind, part) for kind, part in find_parts(detector).items()}
    params = detector.get_params(deep=False) | {"device": "auto", "verbose": False}
    for kind in components:
        if not isinstance(params[kind], str | None):
            params[kind] = registry.name_of(kind, params[kind])
    if not isinstance(params["random_state"], Integral | None):
        params["random_state"] = None  # the state of a generator is not part of the model
    with fresh_defaults():
        _check_finite(detector.ensemble_)
    content: dict[str, Any] = {
        "versions": versions(),
        "components": components,
        "params": params,
        "feature_names": [str(name) for name in getattr(detector, "feature_names_in_", [])],
        "flows": [flow.state_dict() for flow in detector.flows_],
        "pull": detector.pull_.state_dict(),
        "pull_weight": detector.pull_.weight,
        "offset": detector.offset_,
        "calibration": {
            "scores": torch.from_numpy(detector.calibration_.scores),
            "held_out": detector.calibration_.held_out,
        },
        "history": detector.history_,
    }
    if detector.ranges_ is not None:
        low, high = map(torch.from_numpy, (detector.ranges_.low, detector.ranges_.high))
        content["calibration"] |= {"low": low, "high": high}
    archive.write(path, "model", VERSION, content, folder=folder)


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
        dtype: Precision of backbone and latent, ``"float32"`` or ``"float64"``; by default as
            saved. Preprocessing stays as saved, since data may have large offsets.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a model, is damaged or of a newer format (`ArchiveError`),
            if a component is not installed (the message has the line that installs it), or if
            an argument is unknown.
    """
    place, precision = find_device(device), find_dtype(dtype)
    content = _read(path)
    try:
        classes = find_classes(content["components"])
    except Exception as error:
        raise ArchiveError(f"{os.fspath(path)!r} cannot be loaded: {message_of(error)}") from error
    try:
        with fresh_defaults():
            detector = _restore(content, classes)
    except Exception as error:  # a hostile description can make a component fail in any way
        note = changes(content["versions"], content["components"])
        raise ArchiveError(
            f"{os.fspath(path)!r} does not describe a model: {message_of(error)}{note}"
        ) from error
    detector.device = device
    detector.ensemble_.place(place)
    if precision is not None:
        detector.ensemble_.cast(precision)
    return detector


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a model file, migrate it to the present version and check its entries' types.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If the file is not a model, is damaged, or is of a newer format.
    """
    version, content = archive.read(path, "model")
    if version > VERSION:
        raise ArchiveError(
            f"{os.fspath(path)!r} has format {version}, but this compactflow "
            f"{compactflow.__version__} reads formats up to {VERSION}; upgrade it"
        )
    try:
        for old in range(version, VERSION):
            content = MIGRATIONS[old](content)
        _check_types(content)
    except Exception as error:  # a hostile file can have anything anywhere
        raise ArchiveError(
            f"{os.fspath(path)!r} does not describe a model: {message_of(error)}"
        ) from error
    return content


def _check_types(content: Mapping[str, Any]) -> None:
    if content.keys() != _TYPES.keys():
        odd = ", ".join(sorted(map(repr, content.keys() ^ _TYPES.keys())))
        raise ValueError(f"the entries {odd} are missing or unknown")
    for name, types in _TYPES.items():
        if not isinstance(content[name], types) or isinstance(content[name], bool):
            raise ValueError(f"{name} is a {type(content[name]).__name__}")
    for name in ("offset", "pull_weight"):
        if not isfinite(content[name]):
            raise ValueError(f"{name} is {content[name]}")
    if not all(isinstance(name, str) for name in content["feature_names"]):
        raise ValueError("feature_names are not all strings")
    for values in content["history"].values():
        if not (
            isinstance(values, list) and all(isinstance(each, int | float) for each in values)
        ):
            raise ValueError("history has an entry that is not a list of numbers")
    if not all(isinstance(version, str) for version in content["versions"].values()):
        raise ValueError("versions are not all strings")
    if content["components"].keys() != set(_KINDS):
        raise ValueError(f"components are {', '.join(map(repr, content['components']))}")
    for state in (*content["flows"], content["pull"]):
        if not all(isinstance(each, Tensor) and not each.is_complex() for each in state.values()):
            raise ValueError("the weights are not all real tensors")
    for kind, component in content["components"].items():
        if not isinstance(component, dict):
            raise ValueError(f"the {kind} is no mapping")
        for name in ("name", "distribution", "version", "target"):
            if not isinstance(component[name], str):
                raise ValueError(f"the {name} of the {kind} is not a string")
        if not isinstance(component["options"], dict):
            raise ValueError(f"the options of the {kind} are no mapping")


def _restore(content: Mapping[str, Any], classes: Mapping[Kind, Any]) -> OneClassFlow:
    """The detector that a model file's content describes, on the CPU."""
    from compactflow.estimator import OneClassFlow  # it imports this module

    states, names = content["flows"], content["feature_names"]
    mean = states[0]["preprocessing.mean"]
    detector = OneClassFlow(**content["params"])
    find_settings(detector)
    _spell_out(detector, content["components"])
    detector.n_features_in_ = dim = len(mean)
    if names:
        if len(names) != dim:
            raise ValueError(f"it has {len(names)} feature names for {dim} features")
        detector.feature_names_in_ = np.array(names, dtype=object)
    parts = {
        kind: Part(choice=found, options=content["components"][kind]["options"])
        for kind, found in classes.items()
    }
    if any(state["preprocessing.matrix"].shape != (dim, dim) for state in states):
        raise ValueError(f"its preprocessing is not of {dim} features")
    # The weights bound what honest options ask for.
    numbers = sum(tensor.numel() for state in states for tensor in state.values())
    with allocation_limit(numbers), drawing_from(seeded(0)):
        networks = make_networks(parts, dim, len(states))
        layers = [Preprocessing.identity(dim) for _ in states]
        ensemble, _ = compose(parts, networks, layers, make_latent(parts, dim))
    ensemble.place(torch.device("cpu"))
    for flow, state in zip(ensemble.flows, states, strict=True):
        flow.load_state_dict(state)
    ensemble.pull.load_state_dict(content["pull"])
    ensemble.pull.weight = content["pull_weight"]
    _check_finite(ensemble)
    detector.ensemble_ = ensemble.eval()
    scores = content["calibration"]["scores"].numpy()
    if scores.ndim != 1 or scores.dtype != np.float64 or not np.isfinite(scores).all():
        raise ValueError("its calibration scores are not finite numbers")
    detector.ranges_ = _ranges(content["calibration"], dim)
    held_out = content["calibration"]["held_out"] is True
    detector.calibration_ = Calibration.of(scores, held_out=held_out)
    detector.offset_ = content["offset"]
    detector.history_ = content["history"]
    detector.ensemble_.signed_distance(mean.numpy()[None])  # options of a wrong type fail here
    return detector


def _ranges(calibration: Mapping[str, Any], dim: int) -> Ranges | None:
    """The ranges of the training columns, which older files of this format do not have."""
    if "low" not in calibration:
        return None
    low, high = (calibration[name].numpy() for name in ("low", "high"))
    for bound in (low, high):
        if bound.shape != (dim,) or bound.dtype != np.float64 or not np.isfinite(bound).all():
            raise ValueError(f"the ranges of its columns are not {dim} finite numbers")
    return Ranges(low, high)


def _spell_out(detector: OneClassFlow, components: Mapping[Kind, Any]) -> None:
    """Make arguments of what was left to defaults that have changed since.

    A model that is loaded and saved again, or fitted again, then keeps its components.
    """
    for kind, saved in components.items():
        if describe(kind, find_parts(detector)[kind])["name"] != saved["name"]:
            detector.set_params(**{kind: saved["name"]})
        now = describe(kind, find_parts(detector)[kind])["options"]
        changed = {
            name: value
            for name, value in saved["options"].items()
            if name not in now or not _same(now[name], value)
        }
        argument = f"{kind}_options"
        given = getattr(detector, argument) or {}
        if given.keys() - saved["options"].keys():
            raise ValueError(f"{argument} has others than the {kind} was made with")
        if changed:
            detector.set_params(**{argument: {**given, **changed}})


def _same(one: object, other: object) -> bool:
    """Whether two options are equal as a file holds them, where a tuple is a list."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def _check_finite(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            raise ValueError(f"the weight {name} is not finite")
    for name, buffer in module.named_buffers():
        if buffer.isnan().any():
            raise ValueError(f"{name} is NaN")
