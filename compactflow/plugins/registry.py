"""Resolution of component names, listing, and registration at run time. No torch."""

from __future__ import annotations

import difflib
import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, get_args

from compactflow._version import __version__
from compactflow.plugins import ComponentSpec, Kind
from compactflow.plugins.builtin import BUILTINS
from compactflow.plugins.discovery import (
    Component,
    InvalidPluginError,
    check_spec,
    discover,
)
from compactflow.plugins.installed import same_distribution
from compactflow.text import cause_of

__all__ = [
    "AmbiguousComponentError",
    "Component",
    "ComponentLoadError",
    "InvalidPluginError",
    "UnknownComponentError",
    "available",
    "find",
    "isolated",
    "load",
    "name_of",
    "register",
    "resolve",
]


class UnknownComponentError(ValueError):
    """No component of that kind has that name."""


class AmbiguousComponentError(ValueError):
    """Several distributions offer a component of that kind and name."""


class ComponentLoadError(ValueError):
    """A component's class or function cannot be imported."""


@dataclass
class _State:
    registered: dict[tuple[Kind, str], ComponentSpec] = field(default_factory=dict)
    discovered: list[Component] | None = None  # None until the first discovery


_state = _State()
_lock = threading.RLock()


def find(kind: Kind, name: str) -> Component:
    """Find a component by its name, by one of its aliases, or by ``distribution:name``.

    Registered and built-in names are settled without looking at plugins.

    Raises:
        UnknownComponentError: If there is none; the message lists what there is.
        AmbiguousComponentError: If several plugins offer the name.
    """
    _check_kind(kind)
    with _lock:
        matches = _matches(kind, name)
    if len(matches) > 1:
        choices = " or ".join(repr(_full_name(row)) for row in matches)
        raise AmbiguousComponentError(
            f"several plugins offer the {kind} {name!r}; say which: {choices}"
        )
    if not matches:
        raise UnknownComponentError(_unknown(kind, name))
    return matches[0]


def load(kind: Kind, name: str) -> Callable[..., Any]:
    """Import what makes a component: its class, or a function that returns an instance.

    Raises:
        UnknownComponentError: If there is no such component.
        AmbiguousComponentError: If several plugins offer the name.
        ComponentLoadError: If its module, class or function cannot be imported.
    """
    row = find(kind, name)
    assert row.spec is not None
    module, _, attribute = row.spec.target.partition(":")
    origin = _origin(row)
    try:
        with redirect_stdout(sys.stderr):  # ours is for what was asked for
            found = getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ComponentLoadError(
            f"the {kind} {name!r} of {origin} cannot be loaded from {row.spec.target!r}: "
            f"{cause_of(error)}"
        ) from error
    if not isinstance(found, type | FunctionType):
        raise ComponentLoadError(
            f"the {kind} {name!r} of {origin} is {row.spec.target!r}, which is not a class"
        )
    return found


def resolve(kind: Kind, value: Any, /) -> Any:  # noqa: ANN401
    """The class or function behind a name; anything else is returned as it is.

    Raises:
        UnknownComponentError: If there is no component of that name.
        AmbiguousComponentError: If several plugins offer the name.
        ComponentLoadError: If its class cannot be imported.
    """
    return load(kind, value) if isinstance(value, str) else value


def name_of(kind: Kind, component: object) -> str | None:
    """The name under which `find` has a class or function; ``None`` if it has no such name."""
    target = f"{getattr(component, '__module__', '')}:{getattr(component, '__qualname__', '')}"
    for row in available(kind):
        if row.spec is not None and row.spec.target == target:
            return _full_name(row) if row.status == "clash" else row.name
    return None


def available(kind: Kind | None = None) -> list[Component]:
    """List the components of a kind or of all kinds, and the plugins that failed or are off.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind is not None:
        _check_kind(kind)
    kinds: tuple[Kind, ...] = get_args(Kind) if kind is None else (kind,)
    with _lock:
        rows = [row for each in kinds for row in _own(each) + _plugins(each)]
        return rows + [row for row in _discovered() if row.spec is None]


def register(spec: ComponentSpec, *, override: bool = False) -> None:
    """Add a component for this process.

    Args:
        spec: Names the component; its module must be importable when it is first used.
        override: Take the name even if another component has it; a plugin's or built-in one
            stays in reach as ``distribution:name``.

    Raises:
        InvalidPluginError: If the spec is malformed, its name is taken and `override` is off, or
            an alias is taken.
    """
    check_spec(spec, ComponentSpec)
    with _lock:
        taken = [] if override else _matches(spec.kind, spec.name)
        if taken:
            raise InvalidPluginError(
                f"the name of the {spec.kind} {spec.name!r} is taken by {_origins(taken)}; choose "
                "another, or pass override=True to replace it"
            )
        for alias in spec.aliases:
            taken = [row for row in _matches(spec.kind, alias) if row.name != spec.name]
            if taken:
                raise InvalidPluginError(
                    f"the alias {alias!r} of the {spec.kind} {spec.name!r} is taken by "
                    f"{_origins(taken)}; leave it out"
                )
        _state.registered[spec.kind, spec.name] = spec


@contextmanager
def isolated() -> Iterator[None]:
    """Start from an empty registry inside a ``with`` block, and restore it after: for tests."""
    global _state
    with _lock:
        before, _state = _state, _State()
    try:
        yield
    finally:
        with _lock:
            _state = before


def _check_kind(kind: str) -> None:
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")


def _matches(kind: Kind, name: str) -> list[Component]:
    """The components a name may mean; plugins are looked at only if it is no name of our own."""
    exact = [row for row in _own(kind) if row.name == name]  # "zuko:NSF" has a colon of its own
    if exact:
        return exact
    distribution, colon, rest = name.partition(":")
    bare = rest if colon else name

    def fit(rows: Iterable[Component]) -> list[Component]:
        if colon:
            rows = [row for row in rows if same_distribution(row.distribution, distribution)]
        named = [row for row in rows if row.name == bare]
        return named or [row for row in rows if row.spec and bare in row.spec.aliases]

    return fit(_builtin(kind) if colon else _own(kind)) or fit(_plugins(kind))


def _origins(rows: Iterable[Component]) -> str:
    return " and ".join(dict.fromkeys(map(_origin, rows)))


def _origin(row: Component) -> str:
    return f"{row.distribution} {row.version}" if row.distribution else "a registered spec"


def _full_name(row: Component) -> str:
    return f"{row.distribution}:{row.name}"


def _builtin(kind: Kind) -> list[Component]:
    return [
        Component.of(spec, "compactflow", __version__, "built-in")
        for spec in BUILTINS
        if spec.kind == kind
    ]


def _own(kind: Kind) -> list[Component]:
    """Registered components, and the built-in ones that they do not override."""
    registered = {
        name: Component.of(spec, "", "", "registered")
        for (each, name), spec in _state.registered.items()
        if each == kind
    }
    builtin = [row for row in _builtin(kind) if row.name not in registered]
    return builtin + list(registered.values())


def _plugins(kind: Kind) -> list[Component]:
    return [row for row in _discovered() if row.kind == kind]


def _discovered() -> list[Component]:
    with _lock:
        state = _state
        if state.discovered is None:
            state.discovered = []  # what a plugin finds that looks for plugins itself
            try:
                state.discovered = discover()
            except BaseException:
                state.discovered = None
                raise
        return state.discovered


def _unknown(kind: Kind, name: str) -> str:
    """What to say when a name is not found: what there is, the nearest, and what failed."""
    rows = _own(kind) + _plugins(kind)
    names = list(
        dict.fromkeys(_full_name(row) if row.status == "clash" else row.name for row in rows)
    )
    message = f"there is no {kind} {name!r}"
    close = difflib.get_close_matches(name.lower(), names, n=1)
    if close:
        message += f"; did you mean {close[0]!r}?"
    message += f" (known: {', '.join(names)})"
    for row in _discovered():
        if row.status == "failed":
            message += f"; the plugin {row.name!r} of {_origin(row)} failed: {row.error}"
        elif row.status == "disabled":
            message += f"; the plugin {row.name!r} of {_origin(row)} is disabled"
    return message
