"""Where to draw, and in which colours."""

from __future__ import annotations

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["INLIER", "OUTLIER", "ink", "make_axes"]

INLIER, OUTLIER = "tab:blue", "tab:red"


def make_axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return Figure(layout="constrained").subplots() if ax is None else ax


def ink() -> str:
    """The colour of lines that are neither data nor decision: black on white, white on black."""
    return str(rcParams["text.color"])
