"""Where a saved model's components come from, and how to find them again."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compactflow._version import __version__
from compactflow.flows.components import Part, find_class
from compactflow.persistence import archive
from compactflow.plugins import Kind, registry

__all__ = ["changes", "check_options", "describe_parts", "find_classes", "versions"]

_LIBRARIES = ("compactflow", "torch", "numpy", "scikit-learn")

# A file is not trusted: what it offers to copy into a shell must be a distribution's name.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

# The types of default options that are worth writing down.
_PLAIN = (type(None), bool, int, float, str, list, tuple)


_ORIGIN = ("distribution", "version", "target")


def check_options(parts: Mapping[Kind, Part]) -> None:
    """Check that a model file can hold all options.

    Raises:
        TypeError: If it cannot hold one; the message names it.
    """
    for kind, part in parts.items():
        _check_options(kind, part, f"{kind}_options")


def _check_options(kind: Kind, part: Part, name: str) -> None:
    nested = part.nested(kind)
    archive.check({key: part.options[key] for key in part.options.keys() - nested.keys()}, name)
    for option, (inner, value) in nested.items():
        _for_each(value, lambda item: _check_options(inner, Part.of(item), f"{name}/{option}"))  # noqa: B023


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
        if each.kind is each.KEYWORD_ONLY
        and isinstance(each.default, _PLAIN)
        # The width of the context is that of the columns, and no option.
        and not (kind == "backbone" and each.name == "context")
    }
    options = defaults | part.options
    for option, (nested, value) in Part(choice=choice, options=options).nested(kind).items():
        options[option] = _for_each(value, lambda item: _describe(nested, Part.of(item)))  # noqa: B023
    return {
        "name": row.name,
        "distribution": row.distribution,
        "version": row.version,
        "target": row.spec.target,
        "options": options,
    }


def _for_each(value: object, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """What an option names, changed: one component or a list of them."""
    return list(map(change, value)) if isinstance(value, list | tuple) else change(value)


def find_classes(components: Mapping[Kind, Any]) -> dict[Kind, Any]:
    """The class of each component that `describe_parts` described.

    Raises:
        ValueError: If one is not there; the message says how to get it.
    """
    classes: dict[Kind, Any] = {}
    problems, missing = [], []
    for kind, component in components.items():
        for nested, described in _with_nested(kind, component):
            name, distribution = described["name"], described["distribution"]
            target = described["target"]
            try:
                found = _find_class(nested, described)
            except ValueError as error:
                if distribution and not _version(distribution):
                    origin = f"{distribution} {described['version']}"
                    problems.append(
                        f"the {nested} {name!r} is of {origin}, which is not installed"
                    )
                    missing.append(distribution)
                elif target and not distribution:
                    problems.append(f"{error}; register {name!r} first, it was {target!r}")
                else:
                    problems.append(str(error))
            else:
                if described is component:
                    classes[kind] = found
    if problems:
        safe = all(map(_DISTRIBUTION.fullmatch, missing))
        advice = f"; pip install {' '.join(dict.fromkeys(missing))}" if missing and safe else ""
        raise ValueError("; ".join(problems) + advice)
    return classes


def _find_class(kind: Kind, described: Mapping[str, Any]) -> Any:  # noqa: ANN401
    name, distribution = described["name"], described["distribution"]
    if described["target"] and not distribution and registry.find(kind, name).distribution:
        raise ValueError(f"the {kind} {name!r} is not the one that was saved")
    return registry.load(kind, f"{distribution}:{name}" if distribution else name)


def _with_nested(
    kind: Kind, described: Mapping[str, Any]
) -> Iterator[tuple[Kind, Mapping[str, Any]]]:
    """A described component, and those that its options name, where its class can be found."""
    yield kind, described
    try:
        kinds = getattr(_find_class(kind, described), "components", {})
    except ValueError:
        return  # which is told of the component itself
    for option, nested in kinds.items():
        value = described["options"].get(option)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                Part.of(item)
                yield from _with_nested(
                    nested, dict.fromkeys(_ORIGIN, "") | {"options": {}, **item}
                )


def versions() -> dict[str, str]:
    """The versions of the libraries that a model's meaning depends on."""
    return {name: _version(name) for name in _LIBRARIES}


def changes(saved_versions: Mapping[str, str], components: Mapping[Kind, Any]) -> str:
    """Which versions differ from those the model was saved with, for an error message."""
    parts = [(part["distribution"], part["version"]) for part in components.values()]
    different = [
        f"{name} {version}, here {_version(name) or 'none'}"
        for name, version in dict.fromkeys([*saved_versions.items(), *parts])
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
