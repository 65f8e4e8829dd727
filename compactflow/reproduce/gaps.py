"""What lies between the parts of the data: supports in one piece against supports in several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table
from sklearn.neighbors import KernelDensity

from compactflow import registry
from compactflow.estimator import OneClassFlow, build
from compactflow.files import write_atomically
from compactflow.reproduce.parallel import run_all
from compactflow.reproduce.rows import Row, write_csv
from compactflow.reproduce.shapes import SHAPES, draw

__all__ = ["gap_volume", "run"]

#: The support in several pieces that suits each shape.
_LATENTS = {"two moons": "union", "two circles": "shell", "two Gaussians": "union"}
_COVERAGE = 0.95
_BANDWIDTH = 0.1
_CELLS = 300  # of the grid, per axis
_SEEDS = 3


def run(out: Path, *, quick: bool, seed: int) -> Table:
    """Measure the gap inside the inlier region; write ``gaps.csv`` and ``gaps.png``.

    Args:
        out: The folder to write to.
        quick: One seed instead of three.
        seed: The first seed.

    Raises:
        compactflow.registry.UnknownComponentError: If the plugins compactflow-union and
            compactflow-shell are not installed.
    """
    for latent in set(_LATENTS.values()):
        registry.find("latent", latent)
    seeds = range(seed, seed + (1 if quick else _SEEDS))
    tasks = [
        (shape, latent, each) for each in seeds for latent in ("cube", None) for shape in SHAPES
    ]
    detectors = run_all(fit, tasks, "gaps")
    rows = []
    for detector, (shape, _, each) in zip(detectors, tasks, strict=True):
        volume, coverage = gap_volume(detector, shape, each)
        rows.append(
            {
                "shape": shape,
                "latent": detector.latent,
                "seed": each,
                "coverage": coverage,
                "gap_volume": volume,
            }
        )
    write_atomically(out / "gaps.csv", lambda path: write_csv(path, rows))
    first = detectors[: 2 * len(SHAPES)]
    write_atomically(out / "gaps.png", lambda path: _figure(first, seed).savefig(path, dpi=120))
    return _table(rows)


def fit(shape: str, latent: str | None, seed: int) -> OneClassFlow:
    """Fit the cube, or for ``None`` the support in several pieces, to a shape."""
    detector = build(
        latent=latent or _LATENTS[shape],
        max_steps=3000,
        learning_rate=0.01,
        pull_options={"sharpness": 10.0},
        noise=0.03,
        boundary=_COVERAGE,
        random_state=seed,
    )
    return detector.fit(SHAPES[shape](seed))


def gap_volume(detector: OneClassFlow, shape: str, seed: int) -> tuple[float, float]:
    """The area of the inlier region away from the data, and the share of new inliers inside.

    The threshold is set on 1000 fresh inliers so that 95 % are inside; a second thousand gives
    the share. Away from the data is where a kernel-density estimate from both (normal kernel of
    bandwidth 0.1) is below its 1 % quantile over the training rows.
    """
    placing, checking = SHAPES[shape](seed + 1000), SHAPES[shape](seed + 2000)
    threshold = np.quantile(detector.signed_distance(placing), _COVERAGE)
    inliers = np.concatenate([placing, checking])
    density = KernelDensity(bandwidth=_BANDWIDTH).fit(inliers)
    level = np.quantile(density.score_samples(SHAPES[shape](seed)), 0.01)
    low, high = inliers.min(axis=0) - 1, inliers.max(axis=0) + 1
    axes = np.linspace(low, high, _CELLS)
    grid = np.stack(np.meshgrid(axes[:, 0], axes[:, 1]), axis=-1).reshape(-1, 2)
    cell = np.prod((high - low) / (_CELLS - 1))
    inside = detector.signed_distance(grid) <= threshold
    inside[inside] = density.score_samples(grid[inside]) < level
    coverage = (detector.signed_distance(checking) <= threshold).mean()
    return float(inside.sum() * cell), float(coverage)


def _figure(detectors: list[OneClassFlow], seed: int) -> Figure:
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    steps = detectors[0].max_steps
    figure.suptitle(f"{steps} steps, training noise 0.03, learning rate 0.01")
    axes = figure.subplots(2, len(SHAPES))
    shapes = [*SHAPES, *SHAPES]
    for ax, detector, shape in zip(axes.flat, detectors, shapes, strict=True):
        draw(ax, detector, SHAPES[shape](seed))
        ax.set_title(f"{shape}, {detector.latent}")
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


def _table(rows: list[Row]) -> Table:
    table = Table("shape", "latent", "coverage", "gap", "gap, cube", "cube / latent")
    for shape, latent in _LATENTS.items():
        mine, cubes = (
            [row for row in rows if row["shape"] == shape and row["latent"] == name]
            for name in (latent, "cube")
        )
        gap, cube = (np.mean([row["gap_volume"] for row in each]) for each in (mine, cubes))
        coverage = np.mean([row["coverage"] for row in mine])
        ratio = f"{cube / gap:.1f}" if gap else "∞"
        table.add_row(shape, latent, f"{coverage:.3f}", f"{gap:.4f}", f"{cube:.4f}", ratio)
    return table
