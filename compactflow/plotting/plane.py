"""The plane of two features: signed distance, decision and boundary."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from compactflow.plotting.axes import ink, make_axes, make_rows
from compactflow.plotting.labels import label_axes

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["plot_boundary", "plot_decision", "plot_signed_distance"]

Array = NDArray[np.float64]

_GRID = 200  # points per axis
_INLIERS = 2000  # around which a boundary is looked for


def plot_signed_distance(detector: OneClassFlow, ax: Axes) -> Axes:
    """Colour the plane by signed distance: blue inside the support, red outside, white between.

    Args:
        detector: A fitted detector of two features.
        ax: Where to draw; its present limits are filled.

    Raises:
        ValueError: If the detector has not two features.
    """
    _colour(ax, *_distances(detector, ax))
    return ax


def plot_decision(
    detector: OneClassFlow,
    X: ArrayLike,
    ax: Axes | None = None,
    *,
    colour: str = "#b45309",
) -> Axes:
    """Draw rows, the signed distance around them, and the line where decisions change.

    The line is the boundary, found on a grid; `plot_boundary` draws a finer one where it can.

    Args:
        detector: A fitted detector of two features.
        X: Rows to draw, ``(N, 2)``.
        ax: Where to draw.
        colour: Of the line.

    Raises:
        ValueError: If the detector has not two features.
    """
    _check_two_features(detector)
    ax, rows = make_axes(ax), make_rows(detector, X)
    low, high = rows.min(axis=0), rows.max(axis=0)
    margin = 0.15 * np.maximum(high - low, 1e-9)
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
    ax.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
    x, y, distance = _distances(detector, ax)
    _colour(ax, x, y, distance)
    ax.contour(x, y, distance, [0.0], colors=colour, linewidths=2)
    ax.plot([], [], color=colour, linewidth=2, label="decision")
    ax.scatter(rows[:, 0], rows[:, 1], s=4, color="black", linewidths=0, label="rows")
    names = getattr(detector, "feature_names_in_", ["x0", "x1"])
    label_axes(ax, names)
    return ax


def _colour(ax: Axes, x: Array, y: Array, distance: Array) -> None:
    norm = TwoSlopeNorm(0.0, vmin=-1.0, vmax=2.0)
    levels = np.linspace(-1, 2, 25)
    ax.contourf(x, y, distance, levels, cmap="RdBu_r", norm=norm, extend="both", alpha=0.8)


def _distances(detector: OneClassFlow, ax: Axes) -> tuple[Array, Array, Array]:
    """Signed distances on a grid over the present limits."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    return _on_grid(detector, np.array([left, bottom]), np.array([right, top]))


def _on_grid(detector: OneClassFlow, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The coordinates of a grid between two corners, and the signed distances on it."""
    _check_two_features(detector)
    x, y = np.linspace(low, high, _GRID).T
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    distance = detector.ensemble_.signed_distance(grid.reshape(-1, 2))
    return x, y, distance.reshape(_GRID, _GRID)


def plot_boundary(
    detector: OneClassFlow,
    ax: Axes | None = None,
    *,
    points: int = 20_000,
    **style: Any,  # noqa: ANN401
) -> Axes:
    """Draw the boundary that decides.

    Of a single flow that scores by the latent's support it is the boundary of that support, grown
    or shrunk to the level, mapped back. Else it is found on a grid around the inliers.

    Args:
        detector: A fitted detector of two features.
        ax: Where to draw.
        points: Points along the boundary, where it is mapped back.
        **style: For ``Axes.plot``.

    Raises:
        ValueError: If the detector has not two features.
    """
    _check_two_features(detector)
    ax, ensemble = make_axes(ax), detector.ensemble_
    options: dict[str, Any] = {"color": ink(), "linewidth": 1.5} | style
    if ensemble.mapped:
        latents = ensemble.boundary(points)
        boundary = ensemble.decode(latents)
        curves = [np.concatenate([boundary[p], boundary[p][:1]]) for p in _parts(latents)]
    else:
        curves = _trace(detector)
    for curve in curves:
        ax.plot(curve[:, 0], curve[:, 1], **options)
        options["label"] = None  # one entry in the legend for all parts
    return ax


def _trace(detector: OneClassFlow) -> list[Array]:
    """The curves where the signed distance is 0, ``(n, 2)`` each, found on a grid."""
    inliers = detector.ensemble_.inliers(_INLIERS, seed=0)
    low, high = inliers.min(axis=0), inliers.max(axis=0)
    margin = 0.5 * np.maximum(high - low, 1e-9)
    x, y, distance = _on_grid(detector, low - margin, high + margin)
    lines: Any = contour_generator(x, y, distance).lines(0.0)
    return list(lines)


def _parts(latents: Array) -> list[slice]:
    """The closed curves of a boundary ``(n, 2)``: where it jumps, the next one begins."""
    steps = np.linalg.norm(np.diff(latents, axis=0), axis=1)
    starts = [0, *(np.flatnonzero(steps > 20 * np.median(steps)) + 1), len(latents)]
    return [slice(start, stop) for start, stop in itertools.pairwise(starts)]


def _check_two_features(detector: OneClassFlow) -> None:
    check_is_fitted(detector)
    if detector.ensemble_.categories:
        raise ValueError(
            "detector judges rows given their context, so it has a boundary in each, and none to "
            "be drawn in the plane; fit without context"
        )
    if detector.ensemble_.dim != 2:
        raise ValueError(
            f"detector must have 2 features to be drawn in the plane, got {detector.ensemble_.dim}"
        )
