"""Where to draw, and in which colours."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from compactflow.estimator import OneClassFlow

__all__ = ["INLIER", "OUTLIER", "ink", "make_axes", "without_names"]

INLIER, OUTLIER = "tab:blue", "tab:red"


def make_axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return Figure(layout="constrained").subplots() if ax is None else ax


def ink() -> str:
    """The colour of lines that are neither data nor decision: black on white, white on black."""
    return str(rcParams["text.color"])


def without_names(detector: OneClassFlow) -> OneClassFlow:
    """The detector, for arrays: it does not warn that they have no column names."""
    detector = copy.copy(detector)
    detector.__dict__.pop("feature_names_in_", None)
    return detector
