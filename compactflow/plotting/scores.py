"""Scores and how well their calibration holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from compactflow.plotting.axes import INLIER, OUTLIER, ink, make_axes, make_rows

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["plot_calibration", "plot_scores"]

_BINS = 50


def plot_scores(
    detector: OneClassFlow,
    X: ArrayLike,
    ax: Axes | None = None,
    *,
    outlier: NDArray[np.bool_] | None = None,
) -> Axes:
    """Histogram of the signed distances of rows, with the boundary.

    Args:
        detector: A fitted detector.
        X: Rows, ``(N, D)``.
        ax: Where to draw.
        outlier: Which rows are known to be outliers, ``(N,)``, for a histogram of their own.
    """
    ax = make_axes(ax)
    rows = make_rows(detector, X)
    distance = detector.ensemble_.signed_distance(rows)
    # Far outliers would squeeze all else: they are counted in the last bin.
    deepest = min(distance.min(), 0.0)
    far = max(float(np.quantile(distance, 0.9)), -deepest, 1e-9)
    bins = np.linspace(deepest, far, _BINS).tolist()
    groups = {"rows": (np.ones(len(distance), dtype=bool), INLIER)}
    if outlier is not None:
        known = np.asarray(outlier, dtype=bool)
        groups = {"inliers": (~known, INLIER), "outliers": (known, OUTLIER)}
    for label, (rows, colour) in groups.items():
        ax.hist(distance[rows].clip(max=far), bins, color=colour, alpha=0.6, label=label)
    ax.axvline(0, color=ink(), label="boundary")
    ax.set(xlabel="signed distance (the last bin holds all beyond)", ylabel="rows")
    ax.legend()
    return ax


def plot_calibration(detector: OneClassFlow, X: ArrayLike, ax: Axes | None = None) -> Axes:
    """The share of rows inside the boundary against the level it is calibrated to.

    For inliers that the detector has not seen, the curve is the diagonal up to chance.

    Args:
        detector: A fitted detector.
        X: Inliers that it was not fitted to, ``(N, D)``.
        ax: Where to draw.
    """
    ax = make_axes(ax)
    rows = make_rows(detector, X)
    distance = np.sort(detector.ensemble_.signed_distance(rows))
    levels = np.linspace(0.01, 0.99, 99)
    boundaries = np.array([detector.calibration_.threshold(level) for level in levels])
    moved = boundaries - detector.ensemble_.level
    inside = np.searchsorted(distance, moved, side="right") / len(distance)
    ax.plot([0, 1], [0, 1], color=ink(), linestyle=":", label="calibrated")
    ax.plot(levels, inside, color=INLIER, label="rows")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="level", ylabel="share of rows inside")
    ax.legend()
    return ax
