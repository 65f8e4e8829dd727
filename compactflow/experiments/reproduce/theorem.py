"""The paper's theorem as an experiment: disturb the solution and see whether training returns.

With data drawn from the latent itself the identity is a solution. For a convex pull that rises
where the latent's density falls, the mirror push makes it a local minimum (Schmier et al. 2024).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import nn

from compactflow.backbones.coupling import Coupling
from compactflow.experiments.parallel import run_all
from compactflow.experiments.reproduce.descent import descend
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically
from compactflow.flows.flow import CompactFlow
from compactflow.plugins import registry
from compactflow.pushes.theory import balance
from compactflow.training.monitors import energy_distance

__all__ = ["disturb", "measure", "run", "solution"]

_LATENTS = ("cube", "ball", "gaussian")
_PULLS = ("max-abs", "euclidean", "squared", "lp", "barrier")
_COLOURS = ("#1f5fa8", "#b45309", "#2e7d32", "#b91c1c", "#6d28d9")  # of the pulls
_PUSHES = ("mirror", "stein")
_DIMS = (2, 16)
_STEPS = 300
_CHECKS = 20
_LEARNING_RATE = 1e-3
_BATCH = 256
_ROWS = 1024
_NOISE = 3e-3  # of the energy distance, at so many rows; below it the picture's axis is linear
_DISTURBANCE = 0.2  # standard deviation of the change of a weight


def run(out: Path, *, quick: bool, seed: int) -> Table:
    """Disturb the solution and train, for every latent, pull and push.

    Writes ``theorem.csv`` and ``theorem.png``.

    Args:
        out: The folder to write to.
        quick: Two dimensions only, and a third of the steps.
        seed: Of the disturbance and the training.

    Returns:
        The energy distances at the start and at the end, for the terminal.
    """
    steps, dims = (_STEPS // 3, _DIMS[:1]) if quick else (_STEPS, _DIMS)
    tasks = [
        (*parts, dim, steps, seed)
        for dim in dims
        for parts in itertools.product(_LATENTS, _PULLS, _PUSHES)
    ]
    rows = list(itertools.chain(*run_all(measure, tasks, "theorem")))
    write_atomically(out / "theorem.csv", lambda path: write_csv(path, rows))
    figure = _figure(rows, dims)
    write_atomically(out / "theorem.png", lambda path: figure.savefig(path, dpi=110))
    return _table(rows, dims)


def measure(latent: str, pull: str, push: str, dim: int, steps: int, seed: int) -> list[Row]:
    """The energy distance of one run from the latent distribution, after some of its steps.

    Returns:
        Rows with the run's ``latent``, ``pull``, ``push`` and ``dim``, and ``step`` and
        ``energy_distance``; step -1 is the solution itself, whose distance is sampling noise.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = solution(latent, dim)
        confining = registry.load("pull", pull)(flow.latent)
        spreading = registry.load("push", push)()
        balance(confining, spreading)
        x, reference = flow.latent.sample(_ROWS), flow.latent.sample(_ROWS)
        energies = {-1: energy_distance(x, reference)}
        disturb(flow)
        for step in descend(
            flow,
            partial(flow.latent.sample, _BATCH),
            pull=confining,
            push=spreading,
            steps=steps,
            learning_rate=_LEARNING_RATE,
        ):
            if step % max(1, steps // _CHECKS) == 0:
                with torch.no_grad():
                    energies[step] = energy_distance(flow.encode(x), reference)
    run = {"latent": latent, "pull": pull, "push": push, "dim": dim}
    return [{**run, "step": step, "energy_distance": energy} for step, energy in energies.items()]


def solution(latent: str, dim: int) -> CompactFlow:
    """A coupling flow that is the identity, on a latent of dimension `dim`."""
    backbone = Coupling(dim, blocks=4, width=32, permutation="aligned")
    for module in backbone.modules():
        if isinstance(module, nn.Sequential):  # the subnets; their last layer is the prediction
            for parameter in module[-1].parameters():
                nn.init.zeros_(parameter)
    return CompactFlow(backbone, registry.load("latent", latent)(dim))


@torch.no_grad()
def disturb(flow: CompactFlow) -> None:
    """Change every weight by a normal step of standard deviation 0.2."""
    for parameter in flow.backbone.parameters():
        parameter.add_(_DISTURBANCE * torch.randn_like(parameter))


def _figure(rows: Sequence[Row], dims: Sequence[int]) -> Figure:
    columns = list(itertools.product(dims, _PUSHES))
    figure = Figure(figsize=(1 + 2.2 * len(columns), 6.6), layout="constrained")
    axes = figure.subplots(len(_LATENTS), len(columns), squeeze=False, sharex=True, sharey="col")
    for (latent, (dim, push)), ax in zip(
        itertools.product(_LATENTS, columns), axes.flat, strict=True
    ):
        for pull, colour in zip(_PULLS, _COLOURS, strict=False):
            steps, energies = zip(*_curve(rows, latent, pull, push, dim), strict=True)
            ax.plot(steps[1:], energies[1:], label=pull, color=colour)
        ax.axhline(0, color="0.6", linestyle=":")
        ax.set_yscale("symlog", linthresh=_NOISE)
        ax.set(title=f"{latent}, {push}, D = {dim}")
    for ax in axes[-1]:
        ax.set_xlabel("steps")
    figure.supylabel("energy distance of the data's latents from the latent distribution")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=len(_PULLS))
    return figure


def _curve(
    rows: Sequence[Row], latent: str, pull: str, push: str, dim: int
) -> Iterator[tuple[int, float]]:
    wanted = (latent, pull, push, dim)
    for row in rows:
        if (row["latent"], row["pull"], row["push"], row["dim"]) == wanted:
            yield row["step"], row["energy_distance"]


def _table(rows: Sequence[Row], dims: Sequence[int]) -> Table:
    """Energy distance at the start and at the end of every run."""
    columns = list(itertools.product(dims, _PUSHES))
    table = Table("latent", "pull", *(f"{push}, D = {dim}" for dim, push in columns))
    for latent, pull in itertools.product(_LATENTS, _PULLS):
        curves = [list(_curve(rows, latent, pull, push, dim)) for dim, push in columns]
        table.add_row(
            latent, pull, *(f"{curve[1][1]:.4f} → {curve[-1][1]:.4f}" for curve in curves)
        )
    return table
