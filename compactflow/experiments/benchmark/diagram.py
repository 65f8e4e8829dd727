"""The critical-difference diagram of Demšar (2006, figure 1)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compactflow.experiments.benchmark.ranking import Line, critical_difference, find_cliques

__all__ = ["draw"]

_STEP = 0.24  # inches between two lines of text
_BAR = 0.12  # inches between two bars
_TOP, _BOTTOM = 0.95, 0.1  # inches above the axis and below the last name


def draw(lines: Sequence[Line], sets: int) -> Figure:
    """Draw mean ranks on an axis, 1 at the left, and join by bars those that do not differ.

    Args:
        lines: The detectors.
        sets: How many data sets they were compared on.
    """
    lines = sorted(lines, key=lambda line: line.rank)
    count = len(lines)
    difference = critical_difference(count, sets)
    cliques = find_cliques([line.rank for line in lines], difference)
    names_top = _BAR * (len(cliques) + 1)
    depth = names_top + _STEP * ((count + 1) // 2)
    figure = Figure(figsize=(9, _TOP + depth + _BOTTOM), dpi=150)
    axes = figure.add_axes((0.22, 0, 0.56, 1))
    axes.axis("off")
    axes.set_xlim(1, count)
    axes.set_ylim(-depth - _BOTTOM, _TOP)
    _draw_axis(axes, count, difference)
    _draw_names(axes, lines, names_top)
    for row, (start, end) in enumerate(cliques):
        height = -_BAR * (row + 1)
        ends = [lines[start].rank - 0.006 * count, lines[end].rank + 0.006 * count]
        axes.plot(ends, [height, height], color="tab:red", linewidth=3, clip_on=False)
    return figure


def _draw_axis(axes: Axes, count: int, difference: float) -> None:
    axes.plot([1, count], [0, 0], color="black", clip_on=False)
    every = 1 if count <= 15 else 2
    for tick in range(1, count + 1):
        labelled = (tick - 1) % every == 0
        axes.plot([tick, tick], [0, 0.08 if labelled else 0.05], color="black", clip_on=False)
        if labelled:
            axes.text(tick, 0.12, str(tick), ha="center", va="bottom")
    width = min(1 + difference, count)
    axes.plot([1, width], [0.5, 0.5], color="tab:red", linewidth=3, clip_on=False)
    axes.text(1, 0.6, f"critical difference {difference:.2f}", ha="left", va="bottom")
    axes.text(count, 0.6, "mean rank by AUROC, 1 is best", ha="right", va="bottom")


def _draw_names(axes: Axes, lines: Sequence[Line], top: float) -> None:
    """The better half at the left, the others at the right, so that no two leaders cross."""
    count = len(lines)
    half = (count + 1) // 2
    margin = 0.02 * (count - 1)
    for i, line in enumerate(lines):
        left = i < half
        y = -top - _STEP * ((i if left else count - 1 - i) + 0.5)
        edge, sign = (1 - margin, -1) if left else (count + margin, 1)
        axes.plot(
            [line.rank, line.rank, edge], [0, y, y], color="0.35", linewidth=0.8, clip_on=False
        )
        axes.text(
            edge + sign * margin / 2,
            y,
            f"{line.detector}  {line.rank:.2f}" if left else f"{line.rank:.2f}  {line.detector}",
            ha="right" if left else "left",
            va="center",
        )
