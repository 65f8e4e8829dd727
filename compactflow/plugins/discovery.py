"""Finding plugins among the installed distributions, each isolated from the others. No torch."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Literal

import pluggy

from compactflow import plugins
from compactflow.plugins import API, ComponentSpec, PluginLoadWarning
from compactflow.plugins.builtin import BUILTINS
from compactflow.plugins.installed import GROUP, Installed, find_plugins, same_distribution
from compactflow.text import cause_of, one_line

__all__ = ["Component", "InvalidPluginError", "check_spec", "discover"]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_HOOK = "compactflow_components"
_HOOKS: dict[str, type[ComponentSpec]] = {
    _HOOK: ComponentSpec,
    "compactflow_backbones": plugins.BackboneSpec,
    "compactflow_latents": plugins.LatentSpec,
    "compactflow_pulls": plugins.PullSpec,
    "compactflow_pushes": plugins.PushSpec,
}
_SPECS = ComponentSpec.__subclasses__()
_RESERVED = {(spec.kind, name) for spec in BUILTINS for name in (spec.name, *spec.aliases)}

Status = Literal["built-in", "plugin", "registered", "clash", "failed", "disabled"]


class InvalidPluginError(ValueError):
    """A plugin or a spec breaks the rules for plugins."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component with its origin, or a plugin that gave none.

    Attributes:
        kind: One of `compactflow.plugins.Kind`; empty for a plugin that failed or is disabled.
        name: The component's name; the entry point's for a plugin that failed or is disabled.
        distribution: The distribution it comes from; empty when registered at run time.
        version: That distribution's version.
        status: Where it comes from, or why its bare name does not work.
        summary: One line from its spec.
        error: Why it failed, if it did.
        spec: The spec; ``None`` for a plugin that failed or is disabled.

    Examples:
        >>> spec = plugins.LatentSpec(name="torus", target="torus.latent:Torus")
        >>> made = Component.of(spec, "compactflow-torus", "1.0", "plugin")
        >>> made.kind, made.name, made.version
        ('latent', 'torus', '1.0')
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
    rows: list[Component] = []
    for plugin in sorted(find_plugins(), key=lambda plugin: plugin.order):
        rows += _components(plugin, rows)
    return list(_mark_clashes(rows))


def check_spec(spec: object, expected: type[ComponentSpec]) -> ComponentSpec:
    """Return the spec if it is well formed.

    Raises:
        InvalidPluginError: If it is of another type, has a malformed field, or is written for a
            later version of the interface.
    """
    if type(spec) not in _SPECS or not isinstance(spec, expected):
        raise InvalidPluginError(f"expected a {expected.__name__}, got {spec!r}")
    for name in (spec.name, *_texts(spec, "aliases")):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidPluginError(
                f"a component's name is lower-case words joined by '-', got {name!r}"
            )
    if not isinstance(spec.target, str) or not _TARGET.fullmatch(spec.target):
        raise InvalidPluginError(
            f"the target of {spec.name!r} must read 'package.module:Class', got {spec.target!r}"
        )
    for field_ in ("summary", "reference"):
        if not isinstance(getattr(spec, field_), str):
            raise InvalidPluginError(f"the {field_} of {spec.name!r} must be a string")
    _texts(spec, "tags")
    if type(spec.api) is not int or spec.api < 1:
        raise InvalidPluginError(f"the api of {spec.name!r} must be 1 or more, got {spec.api!r}")
    if spec.api > API:
        raise InvalidPluginError(
            f"{spec.name!r} is written for version {spec.api} of the plugin interface, and this "
            f"compactflow has version {API}; upgrade compactflow"
        )
    return spec


def _texts(spec: ComponentSpec, name: str) -> tuple[str, ...]:
    texts = getattr(spec, name)
    if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidPluginError(f"{name} of {spec.name!r} must be a tuple of strings")
    return texts


def _components(plugin: Installed, earlier: list[Component]) -> list[Component]:
    distribution, version = plugin.distribution, plugin.version
    row = Component(
        kind="", name=plugin.name, distribution=distribution, version=version, status="disabled"
    )
    if _disabled(distribution):
        return [row]
    same = {
        (row.kind, name)
        for row in earlier
        if row.spec and row.distribution == distribution
        for name in (row.name, *row.spec.aliases)
    }
    try:
        specs = _specs(plugin, same)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if os.environ.get("COMPACTFLOW_STRICT_PLUGINS") == "1":
            raise
        cause = cause_of(error)
        message = (
            f"the plugin {plugin.name!r} of {distribution} {version} could not be loaded and is "
            f"left out: {cause}"
        )
        warnings.warn(one_line(message), PluginLoadWarning, stacklevel=2)
        return [replace(row, status="failed", error=cause)]
    return [Component.of(spec, distribution, version, "plugin") for spec in specs]


def _specs(plugin: Installed, taken: set[tuple[str, str]]) -> list[ComponentSpec]:
    """The checked specs of one plugin, from a plugin manager of its own.

    The names in `taken` are those that the distribution's other plugins gave.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(plugins.Hookspecs)
    with redirect_stdout(sys.stderr):  # ours is for what was asked for
        manager.register(plugin.load())
        manager.check_pending()
        given = {
            hook: [spec for result in getattr(manager.hook, hook)() for spec in result]
            for hook in _HOOKS
        }
    specs = [check_spec(spec, _HOOKS[hook]) for hook in _HOOKS for spec in given[hook]]
    names = [(spec.kind, name) for spec in specs for name in (spec.name, *spec.aliases)]
    for kind, name in names:
        if (kind, name) in _RESERVED:
            raise InvalidPluginError(f"the {kind} name {name!r} is built in; choose another")
        if (kind, name) in taken or names.count((kind, name)) > 1:
            raise InvalidPluginError(f"the {kind} {name!r} is given twice")
    if not specs:
        raise InvalidPluginError(
            f"it gives no components; implement the hook {_HOOK} and mark it with @hookimpl"
        )
    for hook, found in given.items():
        if found and hook != _HOOK:
            warnings.warn(
                f"the plugin {plugin.name!r} of {plugin.distribution} implements {hook}, which "
                f"will go; rename it to {_HOOK}, which takes specs of any kind",
                DeprecationWarning,
                stacklevel=2,
            )
    return specs


def _mark_clashes(rows: list[Component]) -> Iterator[Component]:
    names = [(row.kind, row.name) for row in rows if row.spec]
    for row in rows:
        if row.spec and names.count((row.kind, row.name)) > 1:
            yield replace(row, status="clash")
        else:
            yield row


def _disabled(distribution: str) -> bool:
    listed = os.environ.get("COMPACTFLOW_DISABLE_PLUGINS", "").split(",")
    return any(
        entry.strip() == "*" or same_distribution(entry.strip(), distribution) for entry in listed
    )
