"""Components as they are chosen, and what makes them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import takes_context
from compactflow.flows.contracts import check_call, check_made, check_push
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.plugins import Kind, registry
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["Part", "find_class", "make", "with_makers"]

# What a mapping that names a component may have; a model file has all of it.
_DESCRIPTION = {"name", "options", "distribution", "version", "target"}

_BASES: dict[Kind, type] = {
    "backbone": Backbone,
    "latent": Latent,
    "pull": Pull,
    "push": Push,
    "preprocessing": Preprocessing,
    "score": Score,
}


@dataclass(frozen=True, kw_only=True)
class Part:
    """A component as it was chosen.

    Attributes:
        choice: Its name, class or instance.
        options: The keyword arguments to make it with. A class says by its attribute
            ``components``, a mapping of options to kinds, which of them name components; it is
            made with what makes these.

    Examples:
        >>> parts = {"backbone": Part(choice="coupling", options={"blocks": 2})}
        >>> make("backbone", parts, 3).dim
        3
    """

    choice: Any
    options: dict[str, Any]

    @classmethod
    def of(cls, value: object) -> Part:
        """A component that an option names: its name or class, or a mapping with its options.

        Raises:
            ValueError: If the mapping has no name or unknown entries.
        """
        if not isinstance(value, Mapping):
            return cls(choice=value, options={})
        entries = {"options": {}, "distribution": "", **value}
        if entries.keys() - _DESCRIPTION or not isinstance(entries.get("name"), str):
            raise ValueError(
                "a component that an option names is given by its name, or by a mapping with "
                f"'name' and 'options', got {value!r}"
            )
        origin = f"{entries['distribution']}:" if entries["distribution"] else ""
        return cls(choice=origin + entries["name"], options=dict(entries["options"]))

    def nested(self, kind: Kind) -> dict[str, tuple[Kind, Any]]:
        """The options that name components, with the kind and what they name."""
        kinds = getattr(find_class(kind, self.choice), "components", {})
        return {
            name: (kinds[name], value) for name, value in self.options.items() if name in kinds
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


def make(kind: Kind, parts: Mapping[Kind, Part], *args: Any, context: int = 0) -> Any:  # noqa: ANN401
    """Make a component with its options; one given as an instance is copied.

    Args:
        kind: Its kind.
        parts: The components.
        *args: What the constructor of its kind takes beside options.
        context: How many features of a context a backbone that takes one is to see.

    Raises:
        ValueError: If it is unknown, not of its kind, or refuses its options.
    """
    component, options = find_class(kind, parts[kind].choice), parts[kind].options
    if isinstance(component, _BASES[kind]):
        if options:
            raise ValueError(
                f"{kind}_options are for a {kind} given by name or class, and this one is an "
                "instance; set its options where you make it"
            )
        return copy.deepcopy(component)
    options = with_makers(component, options)
    if kind == "backbone" and takes_context(component):
        if "context" in options:
            raise ValueError(
                "backbone_options cannot have context, which is as wide as the columns make it "
                "that the detector's argument context names"
            )
        options["context"] = context
    check_call(kind, component, args, options)
    made = component(*args, **options)
    check_made(kind, component, made, _BASES[kind])
    return made


def with_makers(component: Any, options: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """Options, with what makes each component in place of what names it."""
    kinds = getattr(component, "components", {})
    return {
        name: _makers(kinds[name], value) if name in kinds else value
        for name, value in options.items()
    }


def _makers(kind: Kind, value: object) -> Any:  # noqa: ANN401
    """What makes the component, or each of the components, that an option names."""
    if isinstance(value, list | tuple):
        return [_makers(kind, item) for item in value]
    part = Part.of(value)
    find_class(kind, part.choice)
    return partial(make, kind, {kind: part})
