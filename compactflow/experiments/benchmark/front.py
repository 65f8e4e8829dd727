"""What accuracy costs: mean AUROC against the time of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from matplotlib.figure import Figure

from compactflow.experiments.benchmark.ranking import Line

__all__ = ["draw"]


def draw(lines: Sequence[Line]) -> Figure:
    """Draw every detector by its median fit and its mean AUROC, those that none beats in red.

    Args:
        lines: The detectors.
    """
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_xlabel("median seconds of a fit")
    axes.set_ylabel("mean AUROC")
    axes.grid(alpha=0.3)
    best = -1.0
    drawn: list[tuple[float, float]] = []
    for line in sorted(lines, key=lambda line: (line.median_fit, -line.auroc)):
        colour = "tab:red" if line.auroc > best else "0.35"
        best = max(best, line.auroc)
        point = line.median_fit, line.auroc
        axes.plot(*point, "o", color=colour, markersize=5)
        # Beside a point that is as good and as fast, the name stands on the other side.
        close = any(
            abs(log10(line.median_fit / fit)) < 0.1 and abs(line.auroc - auroc) < 2e-3
            for fit, auroc in drawn
        )
        place, side = ((-4, -9), "right") if close else ((4, 3), "left")
        axes.annotate(
            *(line.detector, point, place),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            horizontalalignment=side,
        )
        drawn.append(point)
    axes.margins(x=0.12)
    return figure
