"""Finding plugins among the installed distributions, each isolated from the others. No torch."""

from __future__ import annotations

import importlib.metadata
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pluggy

from compactflow import plugins
from compactflow.builtins import BUILTINS
from compactflow.plugins import ComponentSpec, PluginLoadWarning

__all__ = ["Component", "InvalidPluginError", "check_spec", "discover", "same_distribution"]

GROUP = "compactflow"

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_HOOKS: dict[str, type[ComponentSpec]] = {
    "compactflow_backbones": plugins.BackboneSpec,
    "compactflow_latents": plugins.LatentSpec,
    "compactflow_pulls": plugins.PullSpec,
    "compactflow_pushes": plugins.PushSpec,
}
_RESERVED = {(spec.kind, spec.name) for spec in BUILTINS}

Status = Literal["built-in", "plugin", "registered", "clash", "failed", "disabled"]


class InvalidPluginError(ValueError):
    """A plugin or a spec breaks the rules for plugins."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component with its origin, or a plugin that gave none.

    Attributes:
        kind: ``"backbone"``, ``"latent"``, ``"pull"`` or ``"push"``; empty for a plugin that
            failed or is disabled.
        name: The component's name; the entry point's for a plugin that failed or is disabled.
        distribution: The distribution it comes from; empty when registered at run time.
        version: That distribution's version.
        status: Where it comes from, or why its bare name does not work.
        summary: One line from its spec.
        error: Why it failed, if it did.
        spec: The spec; ``None`` for a plugin that failed or is disabled.
    """

    kind: str
    name: str
    distribution: str
    version: str
    status: Status
    summary: str = ""
    error: str = ""
    spec: ComponentSpec | None = None

    @classmethod
    def of(cls, spec: ComponentSpec, distribution: str, version: str, status: Status) -> Component:
        """The component that a spec names."""
        return cls(
            kind=spec.kind,
            name=spec.name,
            distribution=distribution,
            version=version,
            status=status,
            summary=spec.summary,
            spec=spec,
        )


def discover() -> list[Component]:
    """Load every plugin's specs, in the order of distribution and entry point name.

    Warns:
        PluginLoadWarning: For each plugin that fails, with distribution, version and cause;
            with ``COMPACTFLOW_STRICT_PLUGINS=1`` the cause is raised instead.
    """
    points = importlib.metadata.entry_points(group=GROUP)
    rows: list[Component] = []
    for point in sorted(points, key=_order):
        rows += _components(point, rows)
    return list(_mark_clashes(rows))


def same_distribution(a: str, b: str) -> bool:
    """Whether two distribution names are the same after normalisation (PEP 503)."""
    return _normalise(a) == _normalise(b)


def check_spec(spec: object, expected: type[ComponentSpec]) -> ComponentSpec:
    """Return the spec if it is well formed.

    Raises:
        InvalidPluginError: If it is of another type, or its name or target is malformed.
    """
    if not isinstance(spec, expected) or type(spec) is ComponentSpec:
        raise InvalidPluginError(f"expected a {expected.__name__}, got {spec!r}")
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise InvalidPluginError(
            f"a component's name is lower-case words joined by '-', got {spec.name!r}"
        )
    if not isinstance(spec.target, str) or not _TARGET.fullmatch(spec.target):
        raise InvalidPluginError(
            f"the target of {spec.name!r} must read 'package.module:Class', got {spec.target!r}"
        )
    return spec


def _components(point: importlib.metadata.EntryPoint, earlier: list[Component]) -> list[Component]:
    distribution, version = _origin(point)
    row = Component(
        kind="", name=point.name, distribution=distribution, version=version, status="disabled"
    )
    if _disabled(distribution):
        return [row]
    try:
        same = {(row.kind, row.name) for row in earlier if row.distribution == distribution}
        specs = _specs(point, same)
    except (Exception, SystemExit) as error:
        if os.environ.get("COMPACTFLOW_STRICT_PLUGINS") == "1":
            raise
        cause = f"{type(error).__name__}: {error}"
        warnings.warn(
            f"the plugin {point.name!r} of {distribution} {version} could not be loaded and is "
            f"left out: {cause}",
            PluginLoadWarning,
            stacklevel=2,
        )
        return [replace(row, status="failed", error=cause)]
    return [Component.of(spec, distribution, version, "plugin") for spec in specs]


def _specs(
    point: importlib.metadata.EntryPoint, taken: set[tuple[str, str]]
) -> list[ComponentSpec]:
    """The checked specs of one plugin, from a plugin manager of its own.

    The names in `taken` are those that the distribution's other plugins gave.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(plugins.Hookspecs)
    manager.register(point.load())
    manager.check_pending()
    specs = [
        check_spec(spec, expected)
        for hook, expected in _HOOKS.items()
        for result in getattr(manager.hook, hook)()
        for spec in result
    ]
    names = [(spec.kind, spec.name) for spec in specs]
    for kind, name in names:
        if (kind, name) in _RESERVED:
            raise InvalidPluginError(f"the {kind} name {name!r} is built in; choose another")
        if (kind, name) in taken or names.count((kind, name)) > 1:
            raise InvalidPluginError(f"the {kind} {name!r} is given twice")
    if not specs:
        raise InvalidPluginError(
            "it gives no components; implement a hook such as compactflow_latents and mark it "
            "with @hookimpl"
        )
    return specs


def _mark_clashes(rows: list[Component]) -> Iterator[Component]:
    names = [(row.kind, row.name) for row in rows if row.spec]
    for row in rows:
        if row.spec and names.count((row.kind, row.name)) > 1:
            yield replace(row, status="clash")
        else:
            yield row


def _origin(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    if point.dist is None:
        return "unknown", ""
    # A distribution left half removed has no METADATA, and then neither name nor version.
    return point.dist.metadata["Name"] or "unknown", point.dist.metadata["Version"] or ""


def _order(point: importlib.metadata.EntryPoint) -> tuple[str, str, str]:
    return _normalise(_origin(point)[0]), point.name, point.value


def _disabled(distribution: str) -> bool:
    listed = os.environ.get("COMPACTFLOW_DISABLE_PLUGINS", "").split(",")
    return any(
        entry.strip() == "*" or same_distribution(entry.strip(), distribution) for entry in listed
    )


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
