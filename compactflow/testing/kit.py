"""Running the checks of a component, with or without pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from compactflow.plugins import Kind, registry
from compactflow.testing.checks import (
    backbone,
    engine,
    latent,
    preprocessing,
    pull,
    push,
    score,
)
from compactflow.testing.checks.detector import Maker, fits_saves_and_loads
from compactflow.testing.results import CheckResult, Checks, cases

if TYPE_CHECKING:
    import pytest

__all__ = [
    "check_backbone",
    "check_engine",
    "check_latent",
    "check_names",
    "check_preprocessing",
    "check_pull",
    "check_push",
    "check_score",
    "parametrize",
]

Component: TypeAlias = str | Callable[..., Any]
Options: TypeAlias = Mapping[str, Any]
Expected: TypeAlias = Mapping[str, str]

_WHOLE: Checks = {"fits-saves-and-loads": fits_saves_and_loads}
CHECKS: dict[Kind, Checks] = {
    "backbone": backbone.CHECKS | _WHOLE,
    "latent": latent.CHECKS | _WHOLE,
    "pull": pull.CHECKS | _WHOLE,
    "push": push.CHECKS | _WHOLE,
    "preprocessing": preprocessing.CHECKS | _WHOLE,
    "score": score.CHECKS | _WHOLE,
    "engine": engine.CHECKS,
}


def check_names(kind: Kind) -> list[str]:
    """The names of the checks of a kind.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in CHECKS:
        raise ValueError(f"kind must be one of {', '.join(CHECKS)}, got {kind!r}")
    return list(CHECKS[kind])


def check_backbone(
    name_or_class: Component,
    *,
    options: Options | None = None,
    expected_failures: Expected | None = None,
) -> list[CheckResult]:
    """Run the checks of a backbone.

    Args:
        name_or_class: Its name, its class, or a function of the dimension that makes it.
        options: What to make it with.
        expected_failures: For each check that is known to fail, why; one that passes all the
            same fails.

    Raises:
        ValueError: If the name is unknown, or `expected_failures` names no check or no reason.
    """
    return [run() for run in _cases("backbone", name_or_class, options, expected_failures)]


def check_latent(
    name_or_class: Component,
    *,
    options: Options | None = None,
    expected_failures: Expected | None = None,
) -> list[CheckResult]:
    """Run the checks of a latent; for arguments and errors see `check_backbone`."""
    return [run() for run in _cases("latent", name_or_class, options, expected_failures)]


def check_pull(
    name_or_class: Component,
    *,
    options: Options | None = None,
    latent: Component | None = None,
    expected_failures: Expected | None = None,
) -> list[CheckResult]:
    """Run the checks of a pull; for the rest see `check_backbone`.

    Args:
        name_or_class: As there.
        options: As there.
        latent: The latent that it is made for, as a name, a class or a function of the
            dimension; by default a cube, a ball and a cross-polytope, one after the other.
        expected_failures: As there.
    """
    return [run() for run in _cases("pull", name_or_class, options, expected_failures, latent)]


def check_push(
    name_or_class: Component,
    *,
    options: Options | None = None,
    expected_failures: Expected | None = None,
) -> list[CheckResult]:
    """Run the checks of a push; for arguments and errors see `check_backbone`."""
    return [run() for run in _cases("push", name_or_class, options, expected_failures)]


def check_preprocessing(
    name_or_class: Component,
    *,
    options: Options | None = None,
    expected_failures: Expected | None = None,
) -> list[CheckResult]:
    """Run the checks of a first layer; for arguments and errors see `check_backbone`."""
    return [run() for run in _cases("preprocessing", name_or_class, options, expected_failures)]


def check_score(
    name_or_class: Component,
    *,
    options: Options | None = None,
    expected_failures: Expected | None = None,
) -> list[CheckResult]:
    """Run the checks of a score; for arguments and errors see `check_backbone`."""
    return [run() for run in _cases("score", name_or_class, options, expected_failures)]


def check_engine(
    name_or_class: Component, *, expected_failures: Expected | None = None
) -> list[CheckResult]:
    """Run the checks of an engine; for arguments and errors see `check_backbone`."""
    return [run() for run in _cases("engine", name_or_class, None, expected_failures)]


def parametrize(
    kind: Kind,
    name_or_class: Component,
    *,
    options: Options | None = None,
    latent: Component | None = None,
    expected_failures: Expected | None = None,
) -> pytest.MarkDecorator:
    """Make one pytest test of each check, for a test function that calls its argument ``check``.

    Args:
        kind: The component's kind.
        name_or_class: As for `check_backbone`.
        options: What to make it with.
        latent: The latent of a pull: see `check_pull`.
        expected_failures: For each check that is known to fail, why.

    Raises:
        ValueError: As for `check_backbone`, or if there is no such kind.
    """
    import pytest

    runs = _cases(kind, name_or_class, options, expected_failures, latent)
    return pytest.mark.parametrize("check", list(map(_as_test, runs)), ids=check_names(kind))


def _cases(
    kind: Kind,
    component: Component,
    options: Options | None,
    expected_failures: Expected | None,
    latent: Component | None = None,
) -> list[Callable[[], CheckResult]]:
    """The checks of a component, ready to run."""
    check_names(kind)
    make = Maker(
        kind=kind,
        given=component,
        build=registry.resolve(kind, component),
        options=options or {},
        latent=latent if kind == "pull" else None,
    )
    if make.latent is not None:
        make = replace(make, latents=(registry.resolve("latent", latent),))
    return list(cases(CHECKS[kind], make, expected_failures).values())


def _as_test(run: Callable[[], CheckResult]) -> Callable[[], None]:
    """The check as what a pytest test calls."""
    import pytest

    def check() -> None:
        result = run()
        if result.status == "skipped":
            pytest.skip(result.message)
        if result.status == "expected failure":
            pytest.xfail(result.message)
        if result.error is not None:
            raise AssertionError(f"{result.name}: {result.message}") from result.error
        if result.status == "failed":
            pytest.fail(f"{result.name}: {result.message}", pytrace=False)

    return check
