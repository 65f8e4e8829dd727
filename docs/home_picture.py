"""Draws the picture of the home page: ``python docs/home_picture.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import make_moons

import compactflow

PICTURE = Path(__file__).parent / "images" / "home.png"
_INLIER, _OUTLIER = "#1f5fa8", "#c2410c"


def draw() -> Figure:
    """The rows, their latents and their scores."""
    rng = np.random.default_rng(0)
    inliers = make_moons(1500, noise=0.07, random_state=0)[0]
    train, new = inliers[:1000], inliers[1000:]
    outliers = np.stack([rng.uniform(-1.3, 2.3, 80), rng.uniform(-0.9, 1.4, 80)], axis=1)
    detector = compactflow.build(random_state=0).fit(train)
    outliers = outliers[detector.predict(outliers) == -1][:40]
    figure = Figure(figsize=(8.6, 3.1), dpi=190, layout="constrained", facecolor="white")
    data, latents, scores = figure.subplots(1, 3)
    _draw_rows(data, detector, new[:300], outliers)
    _draw_latents(latents, detector.transform(new[:300]), detector.transform(outliers))
    bins = np.linspace(-2, 12, 36).tolist()
    for rows, colour, label in ((new, _INLIER, "new inliers"), (outliers, _OUTLIER, "outliers")):
        distance = detector.signed_distance(rows).clip(-2, 12)
        scores.hist(distance, bins, color=colour, alpha=0.75, label=label, density=True)
    scores.axvline(0, color="black")
    scores.set(xlabel="signed distance", yticks=[])
    scores.legend(frameon=False)
    data.set_title("rows, and the boundary of 95 %")
    latents.set_title("latents, drawn to the cube")
    scores.set_title("scores")
    return figure


def _draw_rows(
    axes: Axes, detector: compactflow.OneClassFlow, inliers: np.ndarray, outliers: np.ndarray
) -> None:
    x, y = np.linspace(-1.5, 2.5, 200), np.linspace(-1.05, 1.55, 200)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    distance = detector.signed_distance(grid).reshape(200, 200)
    axes.contourf(x, y, distance, [-10, 0], colors=["#cfe0f3"])
    axes.contour(x, y, distance, [0], colors="black", linewidths=1.5)
    axes.scatter(*inliers.T, s=4, color=_INLIER)
    axes.scatter(*outliers.T, s=14, marker="x", color=_OUTLIER)
    axes.set(xticks=[], yticks=[])


def _draw_latents(axes: Axes, inliers: np.ndarray, outliers: np.ndarray) -> None:
    axes.add_patch(Rectangle((-1, -1), 2, 2, fill=False, color="black", linewidth=2))
    axes.scatter(*inliers.T, s=4, color=_INLIER)
    axes.scatter(*outliers.T, s=14, marker="x", color=_OUTLIER)
    axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[], yticks=[], aspect="equal")


if __name__ == "__main__":
    draw().savefig(PICTURE)
