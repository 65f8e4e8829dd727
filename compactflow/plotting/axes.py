"""What to draw, where, and in which colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_is_fitted

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["INLIER", "OUTLIER", "ink", "make_axes", "make_rows"]

INLIER, OUTLIER = "tab:blue", "tab:red"


def make_axes(ax: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    return Figure(layout="constrained").subplots() if ax is None else ax


def ink() -> str:
    """The colour of lines that are neither data nor decision: black on white, white on black."""
    return str(rcParams["text.color"])


def make_rows(detector: OneClassFlow, X: ArrayLike) -> NDArray[np.float64]:
    """Rows as an array ``(N, D)``: an array as it is, a data frame's columns checked by name.

    An array has the features of the encoder, if the detector has one, and behind them what rows
    carry of their context.

    Raises:
        ValueError: If the rows do not go with the detector.
    """
    check_is_fitted(detector)
    named = hasattr(detector, "feature_names_in_") and not isinstance(X, np.ndarray | list)
    if named:
        return detector.check_rows(X)
    gaps = "allow-nan" if detector.encoder_ else True
    rows: NDArray[np.float64] = check_array(
        X, dtype=np.float64, ensure_all_finite=gaps, input_name="X"
    )
    width = detector.ensemble_.width
    if rows.shape[1] != width:
        raise ValueError(f"X has {rows.shape[1]} features, but the detector has {width}")
    return rows
