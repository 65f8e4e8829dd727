"""What a plugin author imports: component specs, hook specifications and the hook marker.

A plugin is a light module, named by an entry point of group ``compactflow``, that implements the
hook ``compactflow_components`` and returns specs. A spec only *names* its component, as
``"package.module:Class"``; the class is imported when it is first used, so neither this module
nor a plugin module needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, final

import pluggy

__all__ = [
    "API",
    "BackboneSpec",
    "ComponentSpec",
    "EngineSpec",
    "Hookspecs",
    "Kind",
    "LatentSpec",
    "PluginLoadWarning",
    "PreprocessingSpec",
    "PullSpec",
    "PushSpec",
    "ScoreSpec",
    "hookimpl",
    "hookspec",
]

Kind: TypeAlias = Literal["backbone", "latent", "pull", "push", "preprocessing", "score", "engine"]
"""The kinds of component."""

API = 1
"""The version of what components and plugins are asked for."""

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
        aliases: Further names of it, such as the one it had before it was renamed. A name goes
            before an alias.
        api: The version of this interface that it was written for; see `API`.
        summary: One line for listings.
        tags: Free keywords for listings.
        reference: Author, year and title of the source, if it has one.

    Examples:
        >>> spec = LatentSpec(name="torus", target="torus.latent:Torus", summary="A ring")
        >>> isinstance(spec, ComponentSpec), spec.kind, spec.target
        (True, 'latent', 'torus.latent:Torus')
    """

    kind: ClassVar[Kind]

    name: str
    target: str
    aliases: tuple[str, ...] = ()
    api: int = 1
    summary: str = ""
    tags: tuple[str, ...] = ()
    reference: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class BackboneSpec(ComponentSpec):
    """Names a `compactflow.backbones.base.Backbone`.

    Examples:
        >>> BackboneSpec(name="glow", target="images.glow:Glow").kind
        'backbone'
    """

    kind: ClassVar[Kind] = "backbone"


@final
@dataclass(frozen=True, kw_only=True)
class LatentSpec(ComponentSpec):
    """Names a `compactflow.latents.base.Latent`.

    Examples:
        >>> LatentSpec(name="torus", target="torus.latent:Torus").kind
        'latent'
    """

    kind: ClassVar[Kind] = "latent"


@final
@dataclass(frozen=True, kw_only=True)
class PullSpec(ComponentSpec):
    """Names a `compactflow.pulls.base.Pull`.

    Examples:
        >>> PullSpec(name="huber", target="huber.pull:Huber").kind
        'pull'
    """

    kind: ClassVar[Kind] = "pull"


@final
@dataclass(frozen=True, kw_only=True)
class PushSpec(ComponentSpec):
    """Names a `compactflow.pushes.base.Push`.

    Examples:
        >>> PushSpec(name="sliced", target="sliced.push:Sliced").kind
        'push'
    """

    kind: ClassVar[Kind] = "push"


@final
@dataclass(frozen=True, kw_only=True)
class PreprocessingSpec(ComponentSpec):
    """Names a first layer, which prepares rows for the backbone.

    Examples:
        >>> PreprocessingSpec(name="ranks", target="ranks.layer:Ranks").kind
        'preprocessing'
    """

    kind: ClassVar[Kind] = "preprocessing"


@final
@dataclass(frozen=True, kw_only=True)
class ScoreSpec(ComponentSpec):
    """Names a `compactflow.flows.scores.Score`.

    Examples:
        >>> ScoreSpec(name="depth", target="depth.score:Depth").kind
        'score'
    """

    kind: ClassVar[Kind] = "score"


@final
@dataclass(frozen=True, kw_only=True)
class EngineSpec(ComponentSpec):
    """Names a `compactflow.engines.base.Engine`.

    Examples:
        >>> EngineSpec(name="slurm", target="slurm_jobs.engine:Slurm").kind
        'engine'
    """

    kind: ClassVar[Kind] = "engine"


@final
class Hookspecs:
    """The hooks a plugin may implement: the first. The others are older and will go.

    Examples:
        >>> @hookimpl
        ... def compactflow_components():
        ...     return [LatentSpec(name="torus", target="torus.latent:Torus")]
    """

    @hookspec
    def compactflow_components(self) -> Iterable[ComponentSpec]:  # type: ignore[empty-body]
        """Return the plugin's specs, of any kinds."""

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
