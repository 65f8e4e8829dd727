"""The latent space: what the data look like there, beside where training leaves latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from compactflow.plotting.axes import INLIER, OUTLIER, ink, make_axes, make_rows

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["plot_latent_marginal", "plot_latent_pair", "plot_latent_pairs"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SAMPLES = 5000
_BINS = 40


def plot_latent_marginal(
    detector: OneClassFlow, X: ArrayLike, k: int = 0, ax: Axes | None = None
) -> Axes:
    """Histogram of one latent coordinate of rows, with that of where latents should settle.

    Args:
        detector: A fitted detector.
        X: Rows, ``(N, D)``.
        k: The latent coordinate, below D.
        ax: Where to draw.

    Raises:
        ValueError: If there is no coordinate `k`.
    """
    _check_coordinates(detector, k)
    ax = make_axes(ax)
    z = detector.ensemble_.encode(make_rows(detector, X))
    return _draw_marginal(ax, z, _settled(detector), k)


def plot_latent_pair(
    detector: OneClassFlow, X: ArrayLike, k: int = 0, m: int = 1, ax: Axes | None = None
) -> Axes:
    """Two latent coordinates of rows, outliers in red, over samples of where latents settle.

    Good training leaves inliers like the samples, in grey: see `Ensemble.sample_latents`. Rows far
    outside are drawn at the edge.

    Args:
        detector: A fitted detector.
        X: Rows, ``(N, D)``.
        k: The coordinate along x, below D.
        m: The coordinate along y, below D.
        ax: Where to draw.

    Raises:
        ValueError: If there is no coordinate `k` or `m`.
    """
    _check_coordinates(detector, k, m)
    ax = make_axes(ax)
    z, outlier = _encode(detector, X)
    return _draw_pair(ax, z, outlier, _settled(detector), [k, m])


def plot_latent_pairs(detector: OneClassFlow, X: ArrayLike, coordinates: int = 4) -> Figure:
    """A matrix of `plot_latent_pair`, with `plot_latent_marginal` on its diagonal.

    Args:
        detector: A fitted detector.
        X: Rows, ``(N, D)``.
        coordinates: The first so many, at most D.

    Returns:
        The figure.
    """
    check_is_fitted(detector)
    n = min(coordinates, detector.ensemble_.dim)
    z, outlier = _encode(detector, X)
    reference = _settled(detector)
    figure = Figure(figsize=(2.2 * n + 0.5, 2.2 * n + 0.5), layout="constrained")
    for m, row in enumerate(figure.subplots(n, n, squeeze=False)):
        for k, ax in enumerate(row):
            if k == m:
                _draw_marginal(ax, z, reference, k)
            else:
                _draw_pair(ax, z, outlier, reference, [k, m])
            ax.label_outer()
    return figure


def _encode(detector: OneClassFlow, X: ArrayLike) -> tuple[Array, Mask]:
    """The latents of rows, ``(N, D)``, and which rows are outside of the support."""
    rows = make_rows(detector, X)
    return detector.ensemble_.encode(rows), detector.ensemble_.signed_distance(rows) > 0


def _settled(detector: OneClassFlow) -> Array:
    return detector.ensemble_.sample_latents(_SAMPLES, seed=0)


def _draw_marginal(ax: Axes, z: Array, reference: Array, k: int) -> Axes:
    z, reference = z[:, k], reference[:, k]
    low, high = _range(z, reference)
    bins = np.linspace(low, high, _BINS).tolist()
    ax.hist(z.clip(low, high), bins, density=True, color=INLIER, alpha=0.6, label="rows")
    ax.hist(
        reference, bins, density=True, histtype="step", color=ink(), label="where latents settle"
    )
    ax.set(xlabel=f"latent {k}", ylabel="density")
    return ax


def _draw_pair(ax: Axes, z: Array, outlier: Mask, reference: Array, pair: list[int]) -> Axes:
    z, reference = z[:, pair], reference[:, pair]
    style: dict[str, Any] = {"linewidths": 0, "rasterized": True}
    ax.scatter(reference[:, 0], reference[:, 1], s=2, color="grey", alpha=0.3, **style)
    low, high = np.transpose([_range(z[:, i], reference[:, i]) for i in (0, 1)])
    z = z.clip(low, high)
    for group, colour in ((~outlier, INLIER), (outlier, OUTLIER)):
        ax.scatter(z[group, 0], z[group, 1], s=6, color=colour, **style)
    ax.set(xlabel=f"latent {pair[0]}", ylabel=f"latent {pair[1]}")
    return ax


def _range(z: Array, reference: Array) -> tuple[float, float]:
    """The range of nearly all rows, at most twice that of the reference, with a margin."""
    low, high = reference.min(), reference.max()
    margin = (high - low) / 2
    seen = np.quantile(z, [0.005, 0.995])
    return (
        float(max(low - margin, min(low, seen[0])) - 0.1 * margin),
        float(min(high + margin, max(high, seen[1])) + 0.1 * margin),
    )


def _check_coordinates(detector: OneClassFlow, *coordinates: int) -> None:
    check_is_fitted(detector)
    dim = detector.ensemble_.dim
    for k in coordinates:
        if not 0 <= k < dim:
            raise ValueError(f"there is no latent coordinate {k}; the detector has 0 to {dim - 1}")
