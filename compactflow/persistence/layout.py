"""What a model file must have, whatever its components are."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

from torch import Tensor

from compactflow.plugins import Kind

__all__ = ["check_layout"]

_KINDS: tuple[Kind, ...] = ("backbone", "latent", "pull", "push", "preprocessing", "score")

# The types of a model file's entries.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "versions": dict,
    "components": dict,
    "params": dict,
    "dim": int,
    "members": int,
    "feature_names": list,
    "weights": dict,
    "pull_weight": (int, float),
    "offset": (int, float),
    "calibration": dict,
    "history": dict,
}

# Of these a table of numbers has no encoder, one without a context no categories, and a file of
# an earlier version no scale.
_OPTIONAL = {"encoder", "categories", "scale"}

_MOST_CATEGORIES = 4096  # of a column of the context


def check_layout(content: Mapping[str, Any]) -> None:
    """Check that a model's content has the entries that one has, of the right types.

    Raises:
        ValueError: If it does not; the message names the entry.
    """
    if content.keys() - _OPTIONAL != _TYPES.keys():
        odd = ", ".join(sorted(map(repr, content.keys() ^ _TYPES.keys())))
        raise ValueError(f"the entries {odd} are missing or unknown")
    for name, types in _TYPES.items():
        if not isinstance(content[name], types) or isinstance(content[name], bool):
            raise ValueError(f"{name} is a {type(content[name]).__name__}")
    for name in ("offset", "pull_weight"):
        if not isfinite(content[name]):
            raise ValueError(f"{name} is {content[name]}")
    scale = content.get("scale", 1.0)
    if type(scale) not in (int, float) or not 0 < scale < inf:
        raise ValueError(f"scale is {scale!r}")
    if min(content["dim"], content["members"]) < 1:
        raise ValueError("it has no features or no flows")
    if not all(isinstance(name, str) for name in content["feature_names"]):
        raise ValueError("feature_names are not all strings")
    encoder = content.get("encoder")
    if not isinstance(encoder, dict | None):
        raise ValueError(f"encoder is a {type(encoder).__name__}")
    if encoder is None and len(content["feature_names"]) not in (0, content["dim"]):
        names = len(content["feature_names"])
        raise ValueError(f"it has {names} feature names for {content['dim']} features")
    categories = content.get("categories", [])
    if not isinstance(categories, list) or not all(
        type(count) is int and 0 <= count <= _MOST_CATEGORIES for count in categories
    ):
        raise ValueError("the categories of its context are not a list of numbers of them")
    _check_values(content)


def _check_values(content: Mapping[str, Any]) -> None:
    """Check what is within the entries."""
    for values in content["history"].values():
        if not (
            isinstance(values, list) and all(isinstance(each, int | float) for each in values)
        ):
            raise ValueError("history has an entry that is not a list of numbers")
    if not all(isinstance(version, str) for version in content["versions"].values()):
        raise ValueError("versions are not all strings")
    weights = content["weights"].values()
    if not all(isinstance(each, Tensor) and not each.is_complex() for each in weights):
        raise ValueError("the weights are not all real tensors")
    if content["components"].keys() != set(_KINDS):
        raise ValueError(f"components are {', '.join(map(repr, content['components']))}")
    for kind, component in content["components"].items():
        if not isinstance(component, dict):
            raise ValueError(f"the {kind} is no mapping")
        for name in ("name", "distribution", "version", "target"):
            if not isinstance(component[name], str):
                raise ValueError(f"the {name} of the {kind} is not a string")
        if not isinstance(component["options"], dict):
            raise ValueError(f"the options of the {kind} are no mapping")
