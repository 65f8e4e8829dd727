"""Where a saved model's components come from, and how to find them again."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Mapping
from typing import Any

from compactflow._version import __version__
from compactflow.flows.assembly import Part, find_class
from compactflow.plugins import Kind, registry

__all__ = ["changes", "describe_parts", "find_classes", "versions"]

_LIBRARIES = ("compactflow", "torch", "numpy", "scikit-learn")

# A file is not trusted: what it offers to copy into a shell must be a distribution's name.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

# The types of default options that are worth writing down.
_PLAIN = (type(None), bool, int, float, str, list, tuple)


def describe_parts(parts: Mapping[Kind, Part]) -> dict[Kind, dict[str, Any]]:
    """Where each component comes from, and its options, those by default too.

    Raises:
        ValueError: If one has no name in the registry.
    """
    return {kind: _describe(kind, part) for kind, part in parts.items()}


def _describe(kind: Kind, part: Part) -> dict[str, Any]:
    choice = part.choice
    name = choice if isinstance(choice, str) else registry.name_of(kind, choice)
    if name is None:
        raise ValueError(
            f"{kind} was given as {choice!r}, and a model file names its components; pass a name "
            "or a registered class (see compactflow.register)"
        )
    row = registry.find(kind, name)
    assert row.spec is not None
    parameters = inspect.signature(find_class(kind, name)).parameters.values()
    # A later version may have other defaults, and this model is to stay as it is.
    defaults = {
        each.name: each.default
        for each in parameters
        if each.kind is each.KEYWORD_ONLY and isinstance(each.default, _PLAIN)
    }
    return {
        "name": row.name,
        "distribution": row.distribution,
        "version": row.version,
        "target": row.spec.target,
        "options": defaults | part.options,
    }


def find_classes(components: Mapping[Kind, Any]) -> dict[Kind, Any]:
    """The class of each component that `describe_parts` described.

    Raises:
        ValueError: If one is not there; the message says how to get it.
    """
    classes: dict[Kind, Any] = {}
    problems, missing = [], []
    for kind, component in components.items():
        name, distribution = component["name"], component["distribution"]
        full_name = f"{distribution}:{name}" if distribution else name
        target = component["target"]
        try:
            if target and not distribution and registry.find(kind, name).distribution:
                raise ValueError(f"the {kind} {name!r} is not the one that was saved")
            classes[kind] = registry.load(kind, full_name)
        except ValueError as error:
            if distribution and not _version(distribution):
                origin = f"{distribution} {component['version']}"
                problems.append(f"the {kind} {name!r} is of {origin}, which is not installed")
                missing.append(distribution)
            elif target and not distribution:
                problems.append(f"{error}; register {name!r} first, it was {target!r}")
            else:
                problems.append(str(error))
    if problems:
        safe = all(map(_DISTRIBUTION.fullmatch, missing))
        advice = f"; pip install {' '.join(dict.fromkeys(missing))}" if missing and safe else ""
        raise ValueError("; ".join(problems) + advice)
    return classes


def versions() -> dict[str, str]:
    """The versions of the libraries that a model's meaning depends on."""
    return {name: _version(name) for name in _LIBRARIES}


def changes(saved_versions: Mapping[str, str], components: Mapping[Kind, Any]) -> str:
    """Which versions differ from those the model was saved with, for an error message."""
    saved = dict(saved_versions)
    for component in components.values():
        saved[component["distribution"]] = component["version"]
    different = [
        f"{name} {version}, here {_version(name) or 'none'}"
        for name, version in saved.items()
        if name and version and version != _version(name)
    ]
    return f" (saved with {'; '.join(different)})" if different else ""


def _version(distribution: str) -> str:
    """The installed version of a distribution; empty if it is not installed."""
    if distribution == "compactflow":
        return __version__
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""
