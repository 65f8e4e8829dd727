"""Iterative solvers for inverses. Each returns the solution and the number of iterations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compactflow.backbones.base import ConvergenceError

__all__ = ["Step", "anderson", "picard", "tolerance"]

#: Maps values ``(n, D)`` of some rows, and the indices ``(n,)`` of those rows, to ``(n, D)``.
Step: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Result: TypeAlias = tuple[Tensor, int]
Pair: TypeAlias = tuple[Tensor, Tensor]

_HISTORY = 3  # Anderson's window: more costs more than it saves
_DEPENDENT = 100.0  # times the precision: a smaller share of a squared change is rounding
_FEW = 0.25  # where no more rows than this share have yet to converge, the others are left out
_RISE = 2.0  # a residual that grows by more in one iteration calls for a plain step


def tolerance(x: Tensor) -> float:
    """The relative change at which an iteration has converged in x's dtype."""
    return 8 * torch.finfo(x.dtype).eps


def picard(step: Step, start: Tensor, *, max_iterations: int, exact: bool = False) -> Result:
    """Iterate ``x ← step(x)`` until each row changes by rounding error only.

    Args:
        step: The map; a row's image depends on that row alone.
        start: Where to begin, ``(N, D)``.
        max_iterations: Iterations at most.
        exact: Whether the last allowed iteration is exact, so that reaching it is no failure.

    Returns:
        The fixed points, ``(N, D)``, and the number of iterations.

    Raises:
        ConvergenceError: If rows do not converge; the message says which.
    """
    x = start.clone()
    rows = torch.arange(len(x), device=x.device)
    change = torch.zeros(0, device=x.device)
    for iteration in range(1, max_iterations + 1):
        new = step(x[rows], rows)
        change = _relative(new - x[rows], new)
        x[rows] = new
        rows = rows[~(change <= tolerance(x))]
        if not len(rows):
            return x, iteration
    if exact and x.isfinite().all():
        return x, max_iterations
    raise _failure(rows, change, max_iterations)


def anderson(step: Step, start: Tensor, *, max_iterations: int, accuracy: float = 0.0) -> Result:
    """Find fixed points of a contraction by Anderson acceleration, row by row.

    The next iterate is the combination of the last few images whose residuals combine to the
    least. A row whose residual has jumped takes the plain step instead, which a contraction makes
    safe; so does one that has converged and waits for the others.

    Args:
        step: The contraction; a row's image depends on that row alone.
        start: Where to begin, ``(N, D)``.
        max_iterations: Iterations at most.
        accuracy: The relative change that is small enough, if that is more than rounding error.

    Returns:
        The fixed points, ``(N, D)``, and the number of iterations.

    Raises:
        ConvergenceError: If rows do not converge; the message says which.

    References:
        Walker, Ni (2011), *Anderson acceleration for fixed-point iterations*.
    """
    solution = start.clone()
    rows = torch.arange(len(start), device=start.device)
    x, going = start, torch.ones_like(rows, dtype=torch.bool)
    last = torch.full_like(start[:, 0], torch.inf)
    previous: Pair | None = None
    history: list[Pair] = []
    for iteration in range(1, max_iterations + 1):
        image = step(x, rows)
        residual = image - x
        change = _relative(residual, image)
        going = going & ~(change <= max(accuracy, tolerance(x)))
        remaining = int(going.sum())
        if not remaining:
            solution[rows] = image
            return solution, iteration
        if previous is not None:
            history = [(residual - previous[0], image - previous[1]), *history][:_HISTORY]
        safe = going & (change <= _RISE * last)
        x = _mix(image, residual, history, safe[:, None])
        last, previous = change, (residual, image)
        if remaining <= _FEW * len(rows):
            solution[rows] = image
            rows, x, last = rows[going], x[going], last[going]
            previous = (residual[going], image[going])
            history = [(change[going], move[going]) for change, move in history]
            going = going[going]
    raise _failure(rows[going], last[going], max_iterations)


def _mix(image: Tensor, residual: Tensor, history: list[Pair], safe: Tensor) -> Tensor:
    """The image ``(N, D)`` moved so that the residual, were it linear, would be least.

    Args:
        image: The latest image.
        residual: Its difference from the point.
        history: Changes of the residual and the moves that made them, the newest first: older
            ones count only for what is orthogonal to newer ones.
        safe: Which rows to move, ``(N, 1)``.
    """
    basis: list[tuple[Tensor, Tensor, Tensor]] = []
    for change, move in history:
        least = _DEPENDENT * torch.finfo(change.dtype).eps * _dot(change, change)
        for newer, its_move, inverse in basis:
            part = _dot(newer, change) * inverse
            change = torch.addcmul(change, part, newer, value=-1)
            move = torch.addcmul(move, part, its_move, value=-1)
        square = _dot(change, change)
        inverse = torch.where(square > least, 1 / square, 0)
        basis.append((change, move, inverse))
        weight = torch.where(safe, _dot(change, residual) * inverse, 0)
        image = torch.addcmul(image, weight, move, value=-1)
    return image


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.vecdot(a, b)[:, None]


def _relative(difference: Tensor, value: Tensor) -> Tensor:
    return difference.abs().amax(dim=1) / (1 + value.abs().amax(dim=1))


def _failure(rows: Tensor, change: Tensor, iterations: int) -> ConvergenceError:
    shown = ", ".join(str(row) for row in rows[:10].tolist()) + (", …" if len(rows) > 10 else "")
    return ConvergenceError(
        f"the inverse did not converge for {len(rows)} rows ({shown}) in {iterations} iterations: "
        f"relative residual {change.max().item():.2g}"
    )
