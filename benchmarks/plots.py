"""Plots of time against size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

if TYPE_CHECKING:
    from benchmarks.report import Groups

__all__ = ["PRODUCTS", "plot"]

PRODUCTS = ", products alone"
"""How the name of what only multiplies the matrices of another ends."""

_LABELS = {"dim": "dimension D", "batch": "batch N", "blocks": "blocks"}
# A line changes one property and keeps the others.
_KEPT = {
    "dim": {"batch": 256, "blocks": 12},
    "batch": {"dim": 128, "blocks": 12},
    "blocks": {"dim": 128, "batch": 512},
}
_OPERATIONS = ("step", "encode", "decode")


def plot(groups: Groups, path: Path) -> None:
    """Draw milliseconds against D, batch and depth, a row of panels an operation.

    Args:
        groups: As of `benchmarks.report.read`.
        path: The picture, in a format that its suffix tells.
    """
    figure = Figure(figsize=(11, 9), layout="constrained")
    panels = figure.subplots(len(_OPERATIONS), len(_KEPT), sharey="row")
    for operation, row in zip(_OPERATIONS, panels, strict=True):
        drawn = {name: i for i, name in enumerate(_names(groups, operation))}
        for varied, ax in zip(_KEPT, row, strict=True):
            for name, i in drawn.items():
                line = dict(_points(groups, operation, name, varied))
                sizes = sorted(line)
                style = f"C{i}o{'--' if name.endswith(PRODUCTS) else '-'}"
                ax.plot(sizes, [line[size] for size in sizes], style, label=name)
            ax.set(xscale="log", yscale="log", xlabel=_LABELS[varied])
            ticks = sorted({size for line in ax.lines for size in line.get_xdata()})
            ax.set_xticks(ticks, [str(size) for size in ticks])
            ax.xaxis.minorticks_off()
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        row[0].set_ylabel(f"{operation}, ms")
        # The names of a row are the same in all its panels.
        row[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=100)


def _names(groups: Groups, operation: str) -> list[str]:
    """Who is timed in several sizes."""
    counts = Counter(
        name for group, rows in groups.items() if _is(group, operation) for name in rows
    )
    return sorted(name for name, count in counts.items() if count > 1)


def _points(groups: Groups, operation: str, name: str, varied: str) -> Iterator[tuple[int, float]]:
    """Sizes and milliseconds of a line."""
    for group, rows in groups.items():
        if _is(group, operation) and name in rows:
            row = rows[name]
            if all(row.info[key] == value for key, value in _KEPT[varied].items()):
                yield row.info[varied], row.milliseconds


def _is(group: str, operation: str) -> bool:
    """Whether a group times an operation on the CPU, at some size."""
    return group.startswith(f"{operation} D=") and group.endswith("cpu")
