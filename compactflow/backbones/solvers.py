"""Iterative solvers for inverses. Each returns the solution and the number of iterations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.base import ConvergenceError

__all__ = ["Step", "picard", "tolerance"]

#: Maps values ``(n, D)`` of some rows, and the indices ``(n,)`` of those rows, to ``(n, D)``.
Step: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Result: TypeAlias = tuple[Tensor, int]

_FEW = 0.25  # where no more rows than this share have yet to converge, the others are left out


def tolerance(x: Tensor) -> float:
    """The relative change at which an iteration has converged in x's dtype."""
    return 8 * torch.finfo(x.dtype).eps


def picard(
    step: Step,
    start: Tensor,
    *,
    max_iterations: int,
    accuracy: float = 0.0,
    exact: bool = False,
) -> Result:
    """Iterate ``x ← step(x)`` until each row has changed by rounding error only.

    Args:
        step: The map; a row's image depends on that row alone.
        start: Where to begin, ``(N, D)``.
        max_iterations: Iterations at most.
        accuracy: The relative change that is small enough, if that is more than rounding error.
        exact: Whether the last allowed iteration is exact, so that reaching it is no failure.

    Returns:
        The fixed points, ``(N, D)``, and the number of iterations.

    Raises:
        ConvergenceError: If rows do not converge; the message says which.
    """
    solution, x = start.clone(), start
    rows = torch.arange(len(x), device=x.device)
    going = torch.ones_like(rows, dtype=torch.bool)
    change = torch.zeros(0, device=x.device)
    for iteration in range(1, max_iterations + 1):
        new = step(x, rows)
        change = _relative(new - x, new)
        going = going & ~(change <= max(accuracy, tolerance(x)))
        x, remaining = new, int(going.sum())
        if not remaining:
            solution[rows] = x
            return solution, iteration
        if remaining <= _FEW * len(rows):
            solution[rows] = x
            rows, x, change, going = rows[going], x[going], change[going], going[going]
    solution[rows] = x
    if exact and solution.isfinite().all():
        return solution, max_iterations
    raise _failure(rows[going], change[going], max_iterations)


def _relative(difference: Tensor, value: Tensor) -> Tensor:
    return difference.abs().amax(dim=1) / (1 + value.abs().amax(dim=1))


def _failure(rows: Tensor, change: Tensor, iterations: int) -> ConvergenceError:
    shown = ", ".join(str(row) for row in rows[:10].tolist()) + (", …" if len(rows) > 10 else "")
    return ConvergenceError(
        f"the inverse did not converge for {len(rows)} rows ({shown}) in {iterations} iterations: "
        f"relative residual {change.max().item():.2g}"
    )
