"""The check of any component in a whole detector: fitted, saved and loaded."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, final

import numpy as np

import compactflow
from compactflow.detector.estimator import OneClassFlow
from compactflow.flows.assembly import (
    compose,
    make_latent,
    make_layers,
    make_networks,
    make_push,
)
from compactflow.flows.components import Part, with_makers
from compactflow.flows.ensemble import Ensemble
from compactflow.latents.ball import Ball
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.persistence import archive
from compactflow.plugins import Kind
from compactflow.pulls.base import Pull
from compactflow.testing.diamond import Diamond
from compactflow.testing.results import SkipCheck, require

__all__ = ["Maker", "fits_saves_and_loads"]


@final
@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes a component as its checks call it.

    Attributes:
        kind: Its kind.
        given: Its name, class or function.
        build: The class or function.
        options: What to make it with.
        latent: The latent of a pull, its name, class or function; ``None`` for several.
        latents: Likewise, the classes or functions.
    """

    kind: Kind
    given: Any
    build: Callable[..., Any]
    options: Mapping[str, Any]
    latent: Any = None
    latents: tuple[Callable[[int], Latent], ...] = (Cube, Ball, Diamond)

    def __call__(self, *dim: int, context: int = 0) -> Any:  # noqa: ANN401
        """The component in a dimension; of a pull one on each of the latents."""
        if self.kind == "push":
            part = Part(choice=self.given, options=dict(self.options))
            return make_push({"push": part}, *dim)
        options = with_makers(self.build, self.options)
        if context:
            options["context"] = context
        if self.kind != "pull":
            return self.build(*dim, **options)
        pulls: list[Pull] = [
            self.build(make_latent(*dim), **options) for make_latent in self.latents
        ]
        return pulls


def fits_saves_and_loads(make: Maker) -> None:
    """A detector of two flows with it fits in 2 steps, and scores the same once loaded."""
    if make.kind != "backbone" and isinstance(make.build, FunctionType):
        raise SkipCheck("a detector takes a function for a backbone only")
    argument = "score_by" if make.kind == "score" else make.kind
    parts = {
        "backbone": "coupling",
        "backbone_options": {"blocks": 2, "width": 8},
        "score_by": "support",
        argument: make.given,
        f"{make.kind}_options": dict(make.options),
    }
    if make.latent is not None:
        parts["latent"] = make.latent
    X = np.random.default_rng(0).normal(size=(80, 3)) * [1, 10, 100] + 50
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = OneClassFlow(**parts, max_steps=2, members=2, random_state=0).fit(X)
        scores = detector.signed_distance(X)
        require(np.isfinite(scores).all(), "a detector with it gives scores that are not finite")
        named = all(isinstance(part, str | dict) for part in parts.values())
        loaded = _loaded(detector) if named else _restored(detector)
    error = float(np.abs(loaded.signed_distance(X) - scores).max())
    require(
        error == 0,
        f"scores change by {error:.2g} when a model is saved and loaded; register what the "
        "component needs as parameters or buffers",
    )


def _loaded(detector: OneClassFlow) -> OneClassFlow:
    """The detector, from a file of it."""
    with tempfile.TemporaryDirectory() as folder:
        detector.save(Path(folder) / "model")
        return compactflow.load(Path(folder) / "model", device="cpu")


def _restored(detector: OneClassFlow) -> Ensemble:
    """The ensemble, made anew, with the saved state: a class without a name has no model file."""
    old, parts = detector.ensemble_, detector.settings_.parts
    with tempfile.TemporaryDirectory() as folder:
        archive.write(Path(folder) / "state", "model", 1, {"state": old.state_dict()})
        _, content = archive.read(Path(folder) / "state", "model")
    networks = make_networks(parts, old.dim, len(old.networks))
    layers = make_layers(parts, old.dim, len(networks))
    fresh, _ = compose(parts, networks, layers, make_latent(parts, old.dim))
    fresh.double().load_state_dict(content["state"])
    fresh.level = old.level
    fresh.eval().attach()
    return fresh
