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

_HISTORY = 5  # Anderson's window: more costs more and gains little
_RISE = 2.0  # a residual that grows by more in one iteration calls for a plain step


def tolerance(x: Tensor) -> float:
    """The relative change at which an iteration has converged in x's dtype."""
    return 16 * torch.finfo(x.dtype).eps


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


def anderson(step: Step, start: Tensor, *, max_iterations: int) -> Result:
    """Find fixed points of a contraction by Anderson acceleration, row by row.

    The next iterate is the combination of the last few images whose residuals combine to the
    least. A row whose residual has jumped takes the plain step instead, which a contraction makes
    safe.

    Args:
        step: The contraction; a row's image depends on that row alone.
        start: Where to begin, ``(N, D)``.
        max_iterations: Iterations at most.

    Returns:
        The fixed points, ``(N, D)``, and the number of iterations.

    Raises:
        ConvergenceError: If rows do not converge; the message says which.

    References:
        Walker, Ni (2011), *Anderson acceleration for fixed-point iterations*.
    """
    solution = start.clone()
    rows = torch.arange(len(start), device=start.device)
    x, images = start, start.new_zeros(len(start), 0, start.shape[1])
    residuals = images
    last = torch.full_like(start[:, 0], torch.inf)
    for iteration in range(1, max_iterations + 1):
        image = step(x, rows)
        residual = image - x
        change = _relative(residual, image)
        solution[rows] = image
        going = ~(change <= tolerance(x))
        if not going.any():
            return solution, iteration
        images = torch.cat([images[:, -_HISTORY + 1 :], image[:, None]], dim=1)[going]
        residuals = torch.cat([residuals[:, -_HISTORY + 1 :], residual[:, None]], dim=1)[going]
        rows, image = rows[going], image[going]
        safe = change[going] <= _RISE * last[going]
        last = change[going]
        mixed = image - _correction(images, residuals)
        x = torch.where((safe & mixed.isfinite().all(dim=1))[:, None], mixed, image)
    raise _failure(rows, last, max_iterations)


def _correction(images: Tensor, residuals: Tensor) -> Tensor:
    """What to subtract from the last of the images ``(N, M, D)``, ``(N, D)``.

    The combination of their differences whose residual is nearest to the last residual.
    """
    steps, changes = images.diff(dim=1), residuals.diff(dim=1)
    # In units of their own length, as they shrink by orders of magnitude from one to the next.
    length = changes.norm(dim=2, keepdim=True).clamp_min(torch.finfo(changes.dtype).tiny)
    steps, changes = steps / length, changes / length
    gram = changes @ changes.mT
    ridge = 100 * torch.finfo(gram.dtype).eps
    gram = gram + ridge * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    weights = torch.linalg.solve_ex(gram, changes @ residuals[:, -1:].mT).result
    return (weights.mT @ steps).squeeze(1)


def _relative(difference: Tensor, value: Tensor) -> Tensor:
    return difference.abs().amax(dim=1) / (1 + value.abs().amax(dim=1))


def _failure(rows: Tensor, change: Tensor, iterations: int) -> ConvergenceError:
    shown = ", ".join(str(row) for row in rows[:10].tolist()) + (", …" if len(rows) > 10 else "")
    return ConvergenceError(
        f"the inverse did not converge for {len(rows)} rows ({shown}) in {iterations} iterations: "
        f"relative residual {change.max().item():.2g}"
    )
