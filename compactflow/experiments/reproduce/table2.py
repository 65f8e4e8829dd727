"""Table 2 of the paper: which class is told from which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from rich.table import Table

from compactflow.experiments.reproduce.one_vs_rest import Study, evaluate
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically

__all__ = ["run"]

_DETECTORS = ("IOCN", "ours")


def run(out: Path, study: Study, detectors: Sequence[str] = _DETECTORS) -> Table:
    """AUROC of each class's test rows against each other's; ``table2.csv`` and ``table2.png``.

    Args:
        out: The folder to write to.
        study: What to measure on what.
        detectors: Of `compactflow.experiments.reproduce.one_vs_rest.DETECTORS`.

    Returns:
        For the terminal: for each class the one that is hardest to tell from it.

    Raises:
        ValueError: If a training failed.
    """
    rows = evaluate(out, study, detectors)
    for row in rows:
        if row["error"]:
            raise ValueError(f"{row['detector']} failed on {row['set']}: {row['error']}")
    cells = [
        {"detector": row["detector"], "seed": row["seed"], "train": row["class"], "test": test}
        | {"auroc": auroc}
        for row in rows
        for test, auroc in row["against"].items()
    ]
    write_atomically(out / "table2.csv", lambda path: write_csv(path, cells))
    classes = list(dict.fromkeys(row["class"] for row in rows))
    matrices = {name: _matrix(rows, name, classes) for name in detectors}
    figure = _figure(matrices, classes)
    write_atomically(out / "table2.png", lambda path: figure.savefig(path, dpi=90))
    table = Table("class", *(f"hardest for {name}" for name in detectors))
    for i, label in enumerate(classes):
        hardest = [(int(np.nanargmin(m[i])), np.nanmin(m[i])) for m in matrices.values()]
        table.add_row(label, *(f"{classes[j]} ({value:.1f} %)" for j, value in hardest))
    return table


def _matrix(rows: Sequence[Row], name: str, classes: Sequence[str]) -> NDArray[np.float64]:
    """AUROC in per cent, (train class, test class), mean over the seeds; NaN on the diagonal."""
    lines = {
        label: [row["against"] for row in rows if (row["detector"], row["class"]) == (name, label)]
        for label in classes
    }
    return np.array(
        [
            [100 * np.mean([seed.get(test, np.nan) for seed in lines[train]]) for test in classes]
            for train in classes
        ]
    )


def _figure(matrices: dict[str, NDArray[np.float64]], classes: Sequence[str]) -> Figure:
    size = 1.6 + 0.5 * len(classes)
    figure = Figure(figsize=(len(matrices) * size + 1, size), layout="constrained")
    low = min(np.nanmin(matrix) for matrix in matrices.values())
    places = range(len(classes))
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for ax, (name, matrix) in zip(axes, matrices.items(), strict=True):
        image: AxesImage = ax.imshow(matrix, cmap="viridis", vmin=low, vmax=100)
        for i, j in np.argwhere(np.isfinite(matrix)):
            dark = matrix[i, j] < (low + 100) / 2
            colour = "white" if dark else "black"
            ax.text(j, i, _cell(matrix[i, j]), ha="center", va="center", color=colour)
        ax.set(xticks=places, yticks=places, xlabel="outliers", title=f"{name}, AUROC in per cent")
        ax.set_xticklabels(classes, rotation=45, ha="right", rotation_mode="anchor")
        ax.set(yticklabels=classes, ylabel="inliers")
    figure.colorbar(image, ax=figure.axes, shrink=0.8)
    return figure


def _cell(value: float) -> str:
    """With a decimal, but never 100 for less."""
    return f"{value:.1f}" if value < 99.95 else "100"
