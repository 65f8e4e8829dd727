"""What accuracy costs: mean AUROC against the time of a fit."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from compactflow.experiments.benchmark.ranking import Line

__all__ = ["draw"]

# Where a name may stand, in points from its own: the first that is free.
_PLACES = [(4, 3), (-4, 3), (4, -9), (-4, -9), (6, -3), (-6, -3), (4, 12), (-4, 12), (4, -18)]


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
    axes.margins(x=0.12)
    best, colours = -1.0, []
    ordered = sorted(lines, key=lambda line: (line.median_fit, -line.auroc))
    for line in ordered:
        colours.append("tab:red" if line.auroc > best else "0.35")
        best = max(best, line.auroc)
        axes.plot(line.median_fit, line.auroc, "o", color=colours[-1], markersize=5)
    figure.draw_without_rendering()  # from here on it is known where everything stands
    taken = [mark.get_window_extent() for mark in axes.lines]
    for line, colour in zip(ordered, colours, strict=True):
        taken.append(_name(axes, line, colour, taken))
    return figure


def _name(axes: Axes, line: Line, colour: str, taken: Sequence[Bbox]) -> Bbox:
    """Write a name beside its point, where it touches nothing if there is such a place."""
    for x, y in _PLACES:
        text = axes.annotate(
            *(line.detector, (line.median_fit, line.auroc), (x, y)),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            horizontalalignment="left" if x > 0 else "right",
        )
        extent = text.get_window_extent()
        free = axes.bbox.x0 < extent.x0 and extent.x1 < axes.bbox.x1
        if (free and extent.padded(2).count_overlaps(taken) == 0) or (x, y) == _PLACES[-1]:
            break
        text.remove()
    return extent
