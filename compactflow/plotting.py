"""Pictures of fitted two-dimensional detectors. Each function draws on `ax` and returns it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from numpy.typing import NDArray

if TYPE_CHECKING:
    from compactflow.estimator import OneClassFlow

__all__ = ["plot_boundary", "plot_signed_distance"]

_GRID = 200  # points per axis


def plot_signed_distance(detector: OneClassFlow, ax: Axes) -> Axes:
    """Colour the plane by signed distance: blue inside the support, red outside, white between.

    Args:
        detector: A fitted detector of two features.
        ax: Where to draw; its present limits are filled.

    Raises:
        ValueError: If the detector has not two features.
    """
    _check_two_features(detector)
    x, y = np.linspace(*ax.get_xlim(), _GRID), np.linspace(*ax.get_ylim(), _GRID)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    distance = detector.signed_distance(grid.reshape(-1, 2)).reshape(_GRID, _GRID)
    norm = TwoSlopeNorm(0.0, vmin=-1.0, vmax=2.0)
    levels = np.linspace(-1, 2, 25)
    ax.contourf(x, y, distance, levels, cmap="RdBu_r", norm=norm, extend="both", alpha=0.8)
    return ax


def plot_boundary(
    detector: OneClassFlow,
    ax: Axes,
    *,
    points: int = 20_000,
    **style: Any,  # noqa: ANN401
) -> Axes:
    """Draw the boundary of the latent support, mapped back into data space.

    Args:
        detector: A fitted detector of two features.
        ax: Where to draw.
        points: Points along the boundary.
        **style: For ``Axes.plot``.

    Raises:
        ValueError: If the detector has not two features.
    """
    _check_two_features(detector)
    latents = _boundary(detector, points)
    boundary = detector.inverse_transform(latents)
    options: dict[str, Any] = {"color": "black", "linewidth": 1.5} | style
    for part in _parts(latents):
        closed = np.concatenate([boundary[part], boundary[part][:1]])
        ax.plot(closed[:, 0], closed[:, 1], **options)
        options["label"] = None  # one entry in the legend for all parts
    return ax


def _boundary(detector: OneClassFlow, points: int) -> NDArray[np.float64]:
    return detector.flow_.latent.boundary(points).double().cpu().numpy()


def _parts(latents: NDArray[np.float64]) -> list[slice]:
    """The closed curves of a boundary ``(n, 2)``: where it jumps, the next one begins."""
    steps = np.linalg.norm(np.diff(latents, axis=0), axis=1)
    starts = [0, *(np.flatnonzero(steps > 20 * np.median(steps)) + 1), len(latents)]
    return [slice(start, stop) for start, stop in itertools.pairwise(starts)]


def _check_two_features(detector: OneClassFlow) -> None:
    if detector.n_features_in_ != 2:
        raise ValueError(
            f"detector must have 2 features to be drawn in the plane, got "
            f"{detector.n_features_in_}"
        )
