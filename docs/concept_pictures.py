"""Draws the pictures of concepts.md and of plots: ``python docs/concept_pictures.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.datasets import make_moons

import compactflow
from compactflow import plotting
from compactflow.training.callbacks import Callback, TrainingState

IMAGES = Path(__file__).parent / "images"
_INLIER, _OUTLIER = "#1f5fa8", "#c2410c"
_STEPS = (1, 120, 600)
_LEVELS = {0.8: "#7a3e00", 0.95: "black", 0.99: "#6b21a8"}


class _Latents(Callback):
    """Keeps where rows are in latent space, at some steps."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = torch.from_numpy(rows).float()
        self.found: dict[int, np.ndarray] = {}

    def on_step(self, state: TrainingState) -> None:
        """See `Callback`."""
        if state.step in _STEPS:
            with torch.no_grad():
                self.found[state.step] = state.flows[0].encode(self.rows.double()).numpy()


def draw_training(rows: np.ndarray) -> Figure:
    """The latents of rows at the beginning, on the way and at the end."""
    watch = _Latents(rows[:400])
    compactflow.build(members=1, max_steps=_STEPS[-1], random_state=0).fit(rows, callbacks=[watch])
    figure = Figure(figsize=(9, 3.3), dpi=170, layout="constrained", facecolor="white")
    for axes, (step, latents) in zip(figure.subplots(1, 3), watch.found.items(), strict=True):
        axes.add_patch(Rectangle((-1, -1), 2, 2, fill=False, color="black", linewidth=2))
        axes.scatter(*latents.T, s=5, color=_INLIER)
        axes.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), xticks=[], yticks=[], aspect="equal")
        axes.set_title(f"step {step}")
    return figure


def draw_boundaries(rows: np.ndarray) -> Figure:
    """The boundaries of some levels, by each score."""
    figure = Figure(figsize=(9, 3.6), dpi=170, layout="constrained", facecolor="white")
    scores = {"neighbours": "score_by='neighbours', the default", "support": "score_by='support'"}
    for axes, (score, title) in zip(figure.subplots(1, 2), scores.items(), strict=True):
        detector = compactflow.build(score_by=score, random_state=0).fit(rows)
        _draw_levels(axes, detector, rows[:400])
        axes.set_title(title)
    return figure


def _draw_levels(axes: Axes, detector: compactflow.OneClassFlow, rows: np.ndarray) -> None:
    x, y = np.linspace(-1.6, 2.6, 160), np.linspace(-1.15, 1.65, 160)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    axes.scatter(*rows.T, s=5, color=_INLIER)
    for level, colour in _LEVELS.items():
        distance = detector.set_boundary(level=level).signed_distance(grid).reshape(160, 160)
        axes.contour(x, y, distance, [0], colors=colour, linewidths=1.8)
        axes.plot([], [], color=colour, label=f"{level:.0%} inside")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    axes.set(xticks=[], yticks=[])


def draw_plots(rows: np.ndarray) -> Figure:
    """What `compactflow.plotting` draws."""
    train, new = rows[:800], rows[800:]
    outliers = np.random.default_rng(0).uniform((-1.6, -1.2), (2.6, 1.7), (60, 2))
    detector = compactflow.build(random_state=0).fit(train)
    figure = Figure(figsize=(9.6, 6), dpi=150, layout="constrained", facecolor="white")
    axes = figure.subplots(2, 3).flat
    labels = np.repeat([False, True], [len(new), len(outliers)])
    plotting.plot_decision(detector, new, ax=axes[0])
    plotting.plot_scores(detector, np.r_[new, outliers], axes[1], outlier=labels)
    plotting.plot_calibration(detector, new, ax=axes[2])
    plotting.plot_latent_pair(detector, new, ax=axes[3])
    plotting.plot_latent_marginal(detector, new, ax=axes[4])
    plotting.plot_counterfactual(detector.explain([[0.5, 1.6]]), row=0, ax=axes[5])
    names = ("decision", "scores", "calibration", "latent_pair", "latent_marginal")
    for ax, name in zip(axes, (*names, "counterfactual"), strict=True):
        ax.set_title(f"plot_{name}", fontsize=10)
    return figure


def main() -> None:
    """Draw them all."""
    rows = make_moons(1200, noise=0.07, random_state=0)[0]
    draw_plots(rows).savefig(IMAGES / "plots.png")
    draw_training(rows).savefig(IMAGES / "training.png")
    draw_boundaries(rows).savefig(IMAGES / "boundaries.png")


if __name__ == "__main__":
    main()
