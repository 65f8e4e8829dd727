"""Pictures of fitted two-dimensional detectors. Each function draws on `ax` and returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from numpy.typing import ArrayLike

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
    boundary = detector.inverse_transform(_boundary(detector, points))
    closed = np.concatenate([boundary, boundary[:1]])
    options: dict[str, Any] = {"color": "black", "linewidth": 1.5} | style
    ax.plot(closed[:, 0], closed[:, 1], **options)
    return ax


def _boundary(detector: OneClassFlow, points: int) -> ArrayLike:
    return detector.flow_.latent.boundary(points).double().cpu().numpy()


def _check_two_features(detector: OneClassFlow) -> None:
    if detector.n_features_in_ != 2:
        raise ValueError(
            f"detector must have 2 features to be drawn in the plane, got "
            f"{detector.n_features_in_}"
        )
