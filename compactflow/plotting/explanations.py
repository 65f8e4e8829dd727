"""What separates an outlier from the inliers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from compactflow.plotting.axes import INLIER, OUTLIER, ink, make_axes
from compactflow.plotting.labels import drawable, style_of
from compactflow.text import shown

if TYPE_CHECKING:
    from compactflow.detector.explanation import Explanation

__all__ = ["plot_counterfactual"]


def plot_counterfactual(
    explanation: Explanation, row: int, ax: Axes | None = None, *, top: int = 10
) -> Axes:
    """How far the features of one row are off, in standard deviations among inliers.

    Args:
        explanation: What ``detector.explain`` returned.
        row: The row.
        ax: Where to draw.
        top: Features to show at most, the most off first; those that need no change are left out.

    Raises:
        IndexError: If there is no such row.
    """
    ax = make_axes(ax)
    changed = [j for j in explanation.ranking[row][:top] if explanation.difference[row, j] != 0]
    off = explanation.deviation[row, changed]
    places = np.arange(len(changed))
    ax.barh(places, off, color=np.where(off > 0, OUTLIER, INLIER))
    ax.axvline(0, color=ink(), linewidth=0.8)
    labels = []
    for j in changed:
        value, counterfactual, _ = explanation.values(row, j)
        step = f"{shown(value)} → {shown(counterfactual)}"
        labels.append(f"{drawable(explanation.features[j])}: {drawable(step)}")
    ax.set_yticks(places, labels, **style_of(explanation.features[j] for j in changed))
    ax.set(title=f"row {row}")
    ax.set(xlabel="off by (standard deviations of inliers)")
    ax.set_ylim(max(len(changed), 4) - 0.5, -0.5)  # from the top; one bar alone stays a bar
    return ax
