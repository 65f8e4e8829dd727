"""What lies between the parts of the data: supports in one piece against supports in several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table
from sklearn.neighbors import KernelDensity

from compactflow.detector.building import build
from compactflow.detector.estimator import OneClassFlow
from compactflow.experiments.parallel import run_all
from compactflow.experiments.reproduce.shapes import SHAPES, draw
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically
from compactflow.plugins import registry

__all__ = ["gap_volume", "measure", "run"]

#: The support in several pieces that suits each shape.
_LATENTS = {"two moons": "union", "two circles": "shell", "two Gaussians": "union"}
_COVERAGE = 0.95
_BANDWIDTH = 0.1
_CELLS = 300  # of the grid, per axis
_SEEDS = 3
#: Of the density over the training rows, as quantiles. The gap is away from every one of them;
#: at the second level it also counts the thinnest parts of the data.
_LEVELS = {"gap_volume": 0.0, "gap_volume_1_percent": 0.01}


def run(out: Path, *, quick: bool, seed: int) -> Table:
    """Measure the gap inside the inlier region; write ``gaps.csv`` and ``gaps.png``.

    Args:
        out: The folder to write to.
        quick: One seed instead of three.
        seed: The first seed.

    Raises:
        compactflow.plugins.registry.UnknownComponentError: If the plugins compactflow-union and
            compactflow-shell are not installed.
    """
    for latent in set(_LATENTS.values()):
        registry.find("latent", latent)
    seeds = range(seed, seed + (1 if quick else _SEEDS))
    tasks = [
        (shape, latent, each) for each in seeds for latent in ("cube", None) for shape in SHAPES
    ]
    detectors = run_all(fit, tasks, "gaps")
    rows = [
        measure(detector, shape, each)
        for detector, (shape, _, each) in zip(detectors, tasks, strict=True)
    ]
    write_atomically(out / "gaps.csv", lambda path: write_csv(path, rows))
    first = detectors[: 2 * len(SHAPES)]
    write_atomically(out / "gaps.png", lambda path: _figure(first, seed).savefig(path, dpi=120))
    return _table(rows)


def fit(shape: str, latent: str | None, seed: int) -> OneClassFlow:
    """Fit the cube, or for ``None`` the support in several pieces, to a shape."""
    detector = build(
        latent=latent or _LATENTS[shape],
        members=1,  # the one whose boundary is drawn
        max_steps=3000,
        batch_size=256,
        learning_rate=0.01,
        pull_options={"sharpness": 10.0},
        noise=0.03,
        score_by="support",
        boundary=_COVERAGE,
        random_state=seed,
    )
    return detector.fit(SHAPES[shape](seed))


def measure(detector: OneClassFlow, shape: str, seed: int) -> Row:
    """The coverage of new inliers and the gap at each level, with the boundary at 95 %.

    The boundary is placed on 1000 fresh inliers; the coverage is counted on another 1000.
    """
    placing, checking = SHAPES[shape](seed + 1000), SHAPES[shape](seed + 2000)
    boundary = float(np.quantile(detector.signed_distance(placing), _COVERAGE))
    row: Row = {"shape": shape, "latent": detector.latent, "seed": seed}
    row["coverage"] = float((detector.signed_distance(checking) <= boundary).mean())
    for name, quantile in _LEVELS.items():
        row[name] = gap_volume(detector, shape, seed, boundary, quantile)
    return row


def gap_volume(
    detector: OneClassFlow, shape: str, seed: int, boundary: float, quantile: float
) -> float:
    """The area where the signed distance is at most `boundary` but no data is near.

    No data is near where a kernel-density estimate (normal kernel of bandwidth 0.1, 2000 fresh
    inliers) is below its `quantile` over the training rows: with 0, below its value at every one.
    """
    inliers = np.concatenate([SHAPES[shape](seed + 1000), SHAPES[shape](seed + 2000)])
    density = KernelDensity(bandwidth=_BANDWIDTH).fit(inliers)
    level = np.quantile(density.score_samples(SHAPES[shape](seed)), quantile)
    low, high = inliers.min(axis=0) - 1, inliers.max(axis=0) + 1
    axes = np.linspace(low, high, _CELLS)
    grid = np.stack(np.meshgrid(axes[:, 0], axes[:, 1]), axis=-1).reshape(-1, 2)
    cell = np.prod((high - low) / (_CELLS - 1))
    inside = detector.signed_distance(grid) <= boundary
    inside[inside] = density.score_samples(grid[inside]) < level
    return float(inside.sum() * cell)


def _figure(detectors: list[OneClassFlow], seed: int) -> Figure:
    figure = Figure(figsize=(12, 8.2), layout="constrained")
    steps = detectors[0].max_steps
    figure.suptitle(f"{steps} steps, training noise 0.03")
    axes = figure.subplots(2, len(SHAPES))
    shapes = [*SHAPES, *SHAPES]
    for ax, detector, shape in zip(axes.flat, detectors, shapes, strict=True):
        draw(ax, detector, SHAPES[shape](seed))
        ax.set_title(f"{shape}, {detector.latent}")
    handles = axes.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3)
    return figure


def _table(rows: list[Row]) -> Table:
    table = Table("shape", "latent", "coverage", "level", "gap", "cube", "ratio", "of each seed")
    for shape, latent in _LATENTS.items():
        mine, cubes = (
            [row for row in rows if row["shape"] == shape and row["latent"] == name]
            for name in (latent, "cube")
        )
        coverage = " / ".join(
            f"{np.mean([row['coverage'] for row in each]):.3f}" for each in (mine, cubes)
        )
        for name, quantile in _LEVELS.items():
            gaps, of_cubes = ([row[name] for row in each] for each in (mine, cubes))
            gap, cube = float(np.mean(gaps)), float(np.mean(of_cubes))
            each = ", ".join(_ratio(*pair) for pair in zip(of_cubes, gaps, strict=True))
            cells = (f"{quantile:.0%}", f"{gap:.4f}", f"{cube:.4f}", _ratio(cube, gap), each)
            table.add_row(shape, latent, coverage, *cells)
    return table


def _ratio(cube: float, gap: float) -> str:
    if gap:
        return f"{cube / gap:.1f}"
    return "∞" if cube else "0 / 0"
