"""Fig. 1 of the paper: shapes in the plane, with the cube's boundary mapped back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import make_circles, make_moons

from compactflow.detector.building import build
from compactflow.detector.estimator import OneClassFlow
from compactflow.experiments.parallel import run_all
from compactflow.files import write_atomically
from compactflow.plotting import plot_decision

__all__ = ["SHAPES", "run"]

Array = NDArray[np.float64]

_ROWS = 1000
_QUICK_STEPS = 100
_PRESETS = {"paper": "paper preset", None: "default"}


def _two_gaussians(seed: int) -> Array:
    rng = np.random.default_rng(seed)
    centres = np.repeat([[-1.0, -0.3], [1.0, 0.3]], _ROWS // 2, axis=0)
    return centres + 0.25 * rng.standard_normal((_ROWS, 2))


SHAPES = {
    "two moons": lambda seed: make_moons(_ROWS, noise=0.05, random_state=seed)[0],
    "two circles": lambda seed: make_circles(_ROWS, noise=0.04, factor=0.5, random_state=seed)[0],
    "two Gaussians": _two_gaussians,
}


def run(out: Path, *, quick: bool, seed: int) -> None:
    """Fit the paper's preset and the default to each shape and write ``fig1.png``.

    Args:
        out: The folder to write to.
        quick: 100 steps only.
        seed: Of the data and the fits.
    """
    tasks = [(shape, preset, quick, seed) for preset in _PRESETS for shape in SHAPES]
    detectors = run_all(fit, tasks, "shapes")
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    axes = figure.subplots(len(_PRESETS), len(SHAPES))
    for ax, detector, (shape, preset, _, _) in zip(axes.flat, detectors, tasks, strict=True):
        draw(ax, detector, SHAPES[shape](seed))
        held = (detector.predict(SHAPES[shape](seed + 1)) == 1).mean()
        ax.set_title(f"{shape}, {_PRESETS[preset]}: {held:.0%} of new rows inside")
    write_atomically(out / "fig1.png", lambda path: figure.savefig(path, dpi=120))


def fit(shape: str, preset: str | None, quick: bool, seed: int) -> OneClassFlow:
    """Fit one preset to one shape."""
    detector = build(preset=preset, max_steps=_QUICK_STEPS if quick else None, random_state=seed)
    return detector.fit(SHAPES[shape](seed))


def draw(ax: Axes, detector: OneClassFlow, X: Array) -> None:
    """Draw the inliers, the signed distance and the boundary of one detector."""
    plot_decision(detector, X, ax, colour="tab:green")
    ax.set(aspect="equal", xticks=[], yticks=[], xlabel="", ylabel="")
