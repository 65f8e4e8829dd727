"""Detectors from arguments that are checked at once."""

from __future__ import annotations

from typing import Any

from compactflow.backbones.base import Backbone
from compactflow.detector.estimator import OneClassFlow
from compactflow.detector.settings import Settings
from compactflow.devices import fresh_defaults
from compactflow.flows.assembly import make_probe
from compactflow.latents.base import Latent
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.pushes.theory import check_theory
from compactflow.randomness import drawing_from, seeded

__all__ = ["build"]


def build(
    backbone: str | type[Backbone] | Backbone = "coupling",
    latent: str | type[Latent] | Latent | None = None,
    pull: str | type[Pull] | Pull | None = None,
    push: str | type[Push] | Push | None = None,
    **options: Any,  # noqa: ANN401
) -> OneClassFlow:
    """Compose an unfitted detector; the dimension is read off the data when it is fitted.

    Args:
        backbone: The invertible network: a name, a class or an instance; likewise the next three.
        latent: The support and distribution in latent space; by default the cube.
        pull: Draws latents into the support; by default the one that suits latent and push.
        push: Spreads latents over the support.
        **options: The other arguments of `OneClassFlow`, checked here.

    Raises:
        ValueError: If a name or an option is unknown or out of range, or if pull and push do not
            go together: the message says why.

    Examples:
        >>> build("coupling", latent="ball", max_steps=500)
        OneClassFlow(latent='ball', max_steps=500)
    """
    known = OneClassFlow().get_params()
    unknown = options.keys() - known
    if unknown:
        raise ValueError(
            f"build got unknown options {', '.join(sorted(unknown))}; it takes {', '.join(known)}"
        )
    detector = OneClassFlow(backbone, latent, pull, push, **options)
    settings = Settings.of(detector.get_params(deep=False))
    with fresh_defaults(), drawing_from(seeded(0)):
        check_theory(*make_probe(settings.parts))
    return detector
