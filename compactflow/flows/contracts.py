"""Checks of a component before it is used, so that an error names the broken promise."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from compactflow.backbones.base import Backbone
from compactflow.latents.base import Latent
from compactflow.plugins import Kind
from compactflow.randomness import seeded

__all__ = ["check_backbone", "check_call", "check_latent", "check_made", "check_push"]

_ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_call(
    kind: Kind,
    component: Any,  # noqa: ANN401
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
) -> None:
    """Check that a class or function takes these arguments; it is not called here.

    Raises:
        ValueError: If the class is abstract or the options do not fit.
    """
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    if missing:
        raise ValueError(f"the {kind} {component.__name__} must define {', '.join(missing)}")
    try:
        inspect.signature(component).bind(*arguments, **options)
    except TypeError as error:
        raise ValueError(f"{kind}_options do not fit {component.__name__}: {error}") from error


def check_made(kind: Kind, component: Any, made: object, base: type) -> None:  # noqa: ANN401
    """Check what a class or function has made.

    Raises:
        ValueError: If it is not of its kind, or no complete module.
    """
    if not isinstance(made, base):
        raise ValueError(
            f"{kind} must be made by {component.__name__}, but that returned {made!r}"
        )
    if isinstance(made, nn.Module) and "_modules" not in vars(made):
        raise ValueError(f"{component.__name__}.__init__ must call super().__init__()")


def check_backbone(network: Backbone) -> None:
    """Check that the methods which a backbone may override take the arguments that they get.

    Raises:
        ValueError: If the inverse takes no `start`, or the divergence no `generator`.
    """
    for method, argument, why in (
        ("inverse", "start", "where an iterative inverse starts; an analytic one ignores it"),
        ("recode", "start", "as the inverse does"),
        ("forward_and_divergence", "generator", "from which it draws random numbers"),
    ):
        parameters = inspect.signature(getattr(network, method)).parameters
        if argument not in parameters and not any(p.kind in _ANY for p in parameters.values()):
            raise ValueError(
                f"{type(network).__name__}.{method} must take the argument `{argument}`, {why}"
            )


def check_latent(latent: Latent) -> None:
    """Check the shape of the constraints.

    Raises:
        ValueError: If it is not ``(N, M)``.
    """
    values = latent.constraints(latent.sample(3, seeded(0)))
    if values.ndim != 2 or len(values) != 3:
        raise ValueError(
            f"{type(latent).__name__}.constraints must give (N, M) values for N rows, a column "
            f"for each of M constraints, got {tuple(values.shape)} for 3 rows"
        )


def check_push(push: Any) -> None:  # noqa: ANN401
    """Check that a push, or a class of pushes, says whether it maximises entropy.

    Raises:
        ValueError: If it does not.
    """
    if not isinstance(getattr(push, "entropic", None), bool):
        name = getattr(push, "__name__", type(push).__name__)
        raise ValueError(
            f"the push {name} must say whether it maximises entropy, by the class attribute "
            "`entropic`, True or False"
        )
