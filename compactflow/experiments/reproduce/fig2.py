"""Fig. 2 of the paper: one dimension before, during and after training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from compactflow.backbones.coupling import Coupling
from compactflow.experiments.reproduce.descent import descend
from compactflow.files import write_atomically
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.mirror import Mirror

__all__ = ["mixture", "run", "train"]

Array = NDArray[np.float64]

_LEARNING_RATE = 0.01
_BATCH = 1024
_ROWS = 20_000
_EDGE = 2.6  # of the pictures, in either space
_CELLS = 52
_GRID = 800


class Snapshot(NamedTuple):
    """The flow at one moment.

    Attributes:
        step: Steps taken.
        latents: Of the data, ``(n,)``.
        density: Of the flow on the grid of data, ``(g,)``: what decoded latent samples follow.
    """

    step: int
    latents: Array
    density: Array


def run(out: Path, *, quick: bool, seed: int) -> None:
    """Train on two bumps by the mirror push; write ``fig2.png``.

    Args:
        out: The folder to write to.
        quick: Half the steps.
        seed: Of the data and the training.
    """
    steps = 1000 if quick else 1500
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        data = mixture(_ROWS)
        figure = _figure(data[:, 0].double().numpy(), train(data, steps, (0, steps // 20, steps)))
    write_atomically(out / "fig2.png", lambda path: figure.savefig(path, dpi=120))


def mixture(n: int) -> Tensor:
    """Data of two bumps, ``(n, 1)``."""
    left = torch.rand(n, 1) < 0.6
    noise = torch.randn(n, 1)
    return torch.where(left, -0.9 + 0.35 * noise, 1.1 + 0.3 * noise)


def train(data: Tensor, steps: int, moments: tuple[int, ...]) -> list[Snapshot]:
    """Train on fresh data of the mixture; look at the flow after some of the steps.

    Args:
        data: Whose latents to keep, ``(n, 1)``.
        steps: How many.
        moments: Numbers of steps taken.
    """
    flow = CompactFlow(Coupling(1, transform="spline", blocks=3, bins=8), Cube(1))
    steps_taken = descend(
        flow,
        partial(mixture, _BATCH),
        pull=MaxAbs(flow.latent),
        push=Mirror(),
        steps=steps,
        learning_rate=_LEARNING_RATE,
    )
    return [_look(flow, data, step) for step in steps_taken if step in moments]


@torch.no_grad()
def _look(flow: CompactFlow, data: Tensor, step: int) -> Snapshot:
    grid = torch.linspace(-_EDGE, _EDGE, _GRID).unsqueeze(1)
    density = (flow.latent.log_prob(flow.encode(grid)) + flow.backbone.log_abs_det(grid)).exp()
    return Snapshot(step, flow.encode(data)[:, 0].double().numpy(), density.double().numpy())


def _figure(data: Array, snapshots: list[Snapshot]) -> Figure:
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    axes = figure.subplots(2, len(snapshots), sharey="row")
    for (above, below), shot in zip(axes.T, snapshots, strict=True):
        _draw_data(above, data, shot)
        _draw_latents(below, shot)
        above.set_title(f"after {shot.step} steps" if shot.step else "before training")
    axes[0, 0].set_ylabel("data")
    axes[1, 0].set_ylabel("latent")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_data(ax: Axes, data: Array, shot: Snapshot) -> None:
    _histogram(ax, data, "the data, and below their latents")
    grid = np.linspace(-_EDGE, _EDGE, _GRID)
    ax.plot(
        grid,
        shot.density,
        color="black",
        label="the uniform distribution, and above mapped back",
    )
    ax.set_xlim(-_EDGE, _EDGE)


def _draw_latents(ax: Axes, shot: Snapshot) -> None:
    density, edges = _histogram(ax, shot.latents)
    ax.plot([-_EDGE, -1, -1, 1, 1, _EDGE], [0, 0, 0.5, 0.5, 0, 0], color="black")
    # The loss moves T at u by -q(u) f'(u) for the data and p(u) f'(u) for decoded samples.
    centres = ((edges[1:] + edges[:-1]) / 2)[::2]
    outward = np.sign(centres)
    pull = -density[::2] * outward
    push = 0.5 * (np.abs(centres) < 1) * outward
    forces = {"pull": pull, "push": push, "sum": pull + push}
    colours = {"pull": "C3", "push": "C0", "sum": "black"}
    for i, (name, colour) in enumerate(colours.items()):
        height = -0.14 * (i + 1)
        ax.quiver(
            centres,
            np.full_like(centres, height),
            forces[name],
            np.zeros_like(centres),
            color=colour,
            angles="xy",
            scale_units="xy",
            scale=3,
            width=0.006,
        )
        ax.text(-_EDGE + 0.1, height, name, color=colour, va="center")
    ax.set(xlim=(-_EDGE, _EDGE), ylim=(-0.56, 1.0))


def _histogram(ax: Axes, values: Array, label: str | None = None) -> tuple[Array, Array]:
    edges = np.linspace(-_EDGE, _EDGE, _CELLS + 1)
    density = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
    ax.stairs(density, edges, fill=True, color="0.55", label=label)
    return density, edges
