"""How a check runs and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, final

import numpy as np
import torch

__all__ = ["CheckResult", "Checks", "SkipCheck", "Status", "cases", "collect", "require"]

Status: TypeAlias = Literal["passed", "failed", "skipped", "expected failure"]
Checks: TypeAlias = dict[str, Callable[[Any], None]]

_Check = TypeVar("_Check", bound=Callable[[Any], None])


@final
@dataclass(frozen=True)
class CheckResult:
    """What came of one check.

    Attributes:
        name: The check's name, such as ``"inverse-undoes-forward"``.
        status: ``"passed"``, ``"failed"``, ``"skipped"`` or ``"expected failure"``.
        message: What was found, or why it was skipped; empty if it passed.
        error: What the component raised, with its traceback, if that is why it failed.

    Examples:
        >>> from compactflow.testing import check_pull
        >>> [result.name for result in check_pull("squared") if result.status == "failed"]
        []
    """

    name: str
    status: Status
    message: str = ""
    error: BaseException | None = field(default=None, compare=False, repr=False)


class SkipCheck(Exception):  # noqa: N818
    """Raised by a check that does not apply to the component; says why."""


class _Failure(Exception):  # noqa: N818
    """Raised by a check that finds its property violated; says how."""


def require(holds: object, message: str) -> None:
    """Fail the check that is running, with a message, unless the condition holds."""
    if not holds:
        raise _Failure(message)


def collect(checks: Checks) -> Callable[[_Check], _Check]:
    """A decorator that adds a check to `checks`, named after its function with ``-`` for ``_``."""

    def add(check: _Check) -> _Check:
        checks[check.__name__.replace("_", "-")] = check
        return check

    return add


def cases(
    checks: Checks, make: Callable[..., Any], expected_failures: Mapping[str, str] | None
) -> dict[str, Callable[[], CheckResult]]:
    """The checks of one component by name, each ready to run.

    Args:
        checks: The checks of its kind.
        make: Makes the component, as the checks call it.
        expected_failures: For each check that is known to fail, why.

    Raises:
        ValueError: If `expected_failures` names a check that is not there, or gives no reason.
    """
    expected = dict(expected_failures or {})
    unknown = [name for name in expected if name not in checks]
    if unknown:
        raise ValueError(
            f"expected_failures names {', '.join(map(repr, unknown))}, which is no check; "
            f"the checks are {', '.join(checks)}"
        )
    for name, why in expected.items():
        if not why.strip():
            raise ValueError(f"expected_failures must say why {name!r} fails, got {why!r}")
    return {
        name: partial(_run, name, check, make, expected.get(name))
        for name, check in checks.items()
    }


def _run(
    name: str, check: Callable[[Any], None], make: Callable[..., Any], why: str | None
) -> CheckResult:
    found = _outcome(name, check, make)
    if why is None or found.status == "skipped":
        return found
    if found.status == "passed":
        return CheckResult(name, "failed", f"passes, though expected to fail ({why}): remove it")
    return CheckResult(name, "expected failure", f"{why}: {found.message}", found.error)


def _outcome(name: str, check: Callable[[Any], None], make: Callable[..., Any]) -> CheckResult:
    try:
        with _isolated():
            check(make)
    except SkipCheck as skip:
        if str(skip).strip():
            return CheckResult(name, "skipped", str(skip))
        return CheckResult(name, "failed", "skipped without a reason")
    except _Failure as failure:
        return CheckResult(name, "failed", str(failure))
    except (Exception, SystemExit) as error:  # a component that exits ends no test run
        return CheckResult(name, "failed", f"{type(error).__name__}: {error}", error)
    return CheckResult(name, "passed")


@contextmanager
def _isolated() -> Iterator[None]:
    """Run with random numbers of our own, and leave what torch and numpy keep for all as it was.

    Raises:
        _Failure: If a component has changed it.
    """
    dtype, state = torch.get_default_dtype(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(0)  # the only one forked, and in less time
            np.random.seed(0)
            yield
            require(torch.is_grad_enabled(), "it turns torch's gradients off for all that follows")
            found = torch.get_default_dtype()
            require(
                found == dtype, f"it sets torch's default dtype to {found} for all that follows"
            )
    finally:
        torch.set_default_dtype(dtype)
        np.random.set_state(state)
