"""What a plugin author imports: component specs, hook specifications and the hook marker.

A plugin is a light module, named by an entry point of group ``compactflow``, that implements one
or more of the four hooks and returns specs. A spec only *names* its component, as
``"package.module:Class"``; the class is imported when it is first used, so neither this module
nor a plugin module needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, final

import pluggy

__all__ = [
    "BackboneSpec",
    "ComponentSpec",
    "Hookspecs",
    "Kind",
    "LatentSpec",
    "PluginLoadWarning",
    "PullSpec",
    "PushSpec",
    "hookimpl",
    "hookspec",
]

Kind: TypeAlias = Literal["backbone", "latent", "pull", "push"]
"""The kinds of component."""

hookspec = pluggy.HookspecMarker("compactflow")
"""Marks the specification of a hook."""

hookimpl = pluggy.HookimplMarker("compactflow")
"""Marks a plugin's function as the implementation of the hook of that name."""


class PluginLoadWarning(UserWarning):
    """A plugin could not be loaded and was left out; everything else works."""


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """Names a component without importing it.

    Attributes:
        name: What users pass to ``compactflow.build``: lower-case words joined by ``-``.
        target: Where the class lives, ``"package.module:Class"``; imported on first use. For a
            backbone it may be a function of the dimension and options that makes one.
        summary: One line for listings.
        tags: Free keywords for listings.
        reference: Author, year and title of the source, if it has one.
    """

    kind: ClassVar[Kind]

    name: str
    target: str
    summary: str = ""
    tags: tuple[str, ...] = ()
    reference: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class BackboneSpec(ComponentSpec):
    """Names a `compactflow.backbones.base.Backbone`."""

    kind: ClassVar[Kind] = "backbone"


@final
@dataclass(frozen=True, kw_only=True)
class LatentSpec(ComponentSpec):
    """Names a `compactflow.latents.base.Latent`."""

    kind: ClassVar[Kind] = "latent"


@final
@dataclass(frozen=True, kw_only=True)
class PullSpec(ComponentSpec):
    """Names a `compactflow.pulls.base.Pull`."""

    kind: ClassVar[Kind] = "pull"


@final
@dataclass(frozen=True, kw_only=True)
class PushSpec(ComponentSpec):
    """Names a `compactflow.pushes.base.Push`."""

    kind: ClassVar[Kind] = "push"


@final
class Hookspecs:
    """The hooks a plugin may implement; each returns the specs of its kind."""

    @hookspec
    def compactflow_backbones(self) -> Iterable[BackboneSpec]:  # type: ignore[empty-body]
        """Return the plugin's backbone specs."""

    @hookspec
    def compactflow_latents(self) -> Iterable[LatentSpec]:  # type: ignore[empty-body]
        """Return the plugin's latent specs."""

    @hookspec
    def compactflow_pulls(self) -> Iterable[PullSpec]:  # type: ignore[empty-body]
        """Return the plugin's pull specs."""

    @hookspec
    def compactflow_pushes(self) -> Iterable[PushSpec]:  # type: ignore[empty-body]
        """Return the plugin's push specs."""
