"""The history of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from sklearn.utils.validation import check_is_fitted

from compactflow.plotting.axes import make_axes

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["plot_history"]


def plot_history(
    detector: OneClassFlow, name: str = "energy_distance", ax: Axes | None = None
) -> Axes:
    """One monitor of training against the step.

    Args:
        detector: A fitted detector.
        name: Which of its ``history_``. With ``"energy_distance"``, that of the held-out rows,
            that of the training rows is drawn beside it.
        ax: Where to draw.

    Raises:
        ValueError: If the history has no such monitor.
    """
    check_is_fitted(detector)
    history = detector.history_
    if name not in history:
        raise ValueError(f"history_ has no {name!r}; it has {', '.join(history) or 'no checks'}")
    ax = make_axes(ax)
    ax.plot(history["step"], history[name], marker=".", label="held-out rows")
    beside = f"training_{name}"
    if beside in history:
        ax.plot(history["step"], history[beside], marker=".", label="training rows")
        ax.legend()
    ax.set(xlabel="step", ylabel=name.replace("_", " "))
    return ax
