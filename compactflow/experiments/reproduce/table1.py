"""Table 1 of the paper: AUROC of each detector for each class, one against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import wilcoxon

from compactflow.experiments.benchmark.report import environment, grid, write_text
from compactflow.experiments.reproduce.one_vs_rest import Study, evaluate, find_missing
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically

__all__ = ["PUBLISHED", "run"]

#: Means of the paper's table 1, in per cent, on MoCo features of CIFAR-10.
PUBLISHED = {
    "COPOD": 89.6,
    "IForest": 92.1,
    "KDE": 95.0,
    "PCA": 95.2,
    "KNN": 95.9,
    "DeepSVDD": 90.1,
    "GOAD": 94.9,
    "ICL": 95.6,
    "RCA": 96.2,
    "SLAD": 96.5,
    "FLOW": 95.2,
    "IOCN": 96.5,
}
_PUBLISHED_CLASSES = (
    "plane 96.7, car 98.3, bird 94.6, cat 92.9, deer 94.5, dog 96.3, frog 98.7, horse 96.3, "
    "ship 98.4, truck 97.9"
)
_COLUMNS = (
    *("class", "seed", "detector", "auroc", "fit_seconds", "score_seconds", "memory"),
    *("inside", "missed", "error"),
)
_COSTS = {"fit s": "fit_seconds", "score s": "score_seconds", "MiB": "memory"}
_PAIRED = ("IOCN", "ours")


def run(out: Path, study: Study, detectors: Sequence[str]) -> Table:
    """Measure every detector on every class; write ``table1.csv`` and ``table1.md``.

    Args:
        out: The folder to write to.
        study: What to measure on what.
        detectors: Of `compactflow.experiments.reproduce.one_vs_rest.DETECTORS`.

    Returns:
        The means over the classes, for the terminal.
    """
    rows = evaluate(out, study, detectors)
    cells = [{name: row.get(name) for name in _COLUMNS} for row in rows]
    write_atomically(out / "table1.csv", lambda path: write_csv(path, cells))
    header, *lines = _lines(rows, detectors, len(study.seeds))
    sections = [*_boundaries(rows, detectors), *_pairs(rows, detectors)]
    text = _markdown(rows, study, grid(header, lines), sections)
    write_atomically(out / "table1.md", lambda path: write_text(path, text))
    classes = len({row["class"] for row in rows})
    table = Table(*_summary(header, classes), title="AUROC in per cent, mean over the classes")
    for line in lines:
        table.add_row(*_summary(line, classes))
    return table


def _summary(line: list[str], classes: int) -> list[str]:
    """A line without its classes, which do not fit a terminal."""
    return [line[0], *line[1 + classes :]]


def _lines(rows: Sequence[Row], detectors: Sequence[str], seeds: int) -> list[list[str]]:
    """The header and a line for each detector."""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    spread = ["seed std"] if seeds > 1 else []
    lines = [["detector", *classes, "mean", *spread, *_COSTS, "published, CIFAR-10"]]
    for name in detectors:
        mine = [row for row in rows if row["detector"] == name]
        auroc = 100 * _grid(mine, classes, "auroc")
        cells = [*map(_number, auroc.mean(axis=1)), _number(auroc.mean())]
        if spread:
            cells.append(_number(auroc.mean(axis=0).std()) if auroc.shape[1] > 1 else "–")
        costs = [np.median(_grid(mine, classes, column)) for column in _COSTS.values()]
        cells += [f"{cost:.2g}" if cost < 100 else f"{cost:.0f}" for cost in costs]
        published = f"{PUBLISHED[name]:.1f}" if name in PUBLISHED else "–"
        lines.append([name, *cells, published])
    return lines


def _grid(rows: Sequence[Row], classes: Sequence[str], column: str) -> NDArray[np.float64]:
    """One column of one detector's rows, (classes, seeds); NaN where it has no value."""
    return np.array(
        [[row.get(column) for row in rows if row["class"] == label] for label in classes],
        dtype=float,
    )


def _boundaries(rows: Sequence[Row], detectors: Sequence[str]) -> list[str]:
    """What lies inside the boundaries, for the detectors that have one, as a section."""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    lines = []
    for name in detectors:
        mine = [row for row in rows if row["detector"] == name and row.get("inside") is not None]
        for title, column in {"inliers": "inside", "all others": "missed"}.items():
            shares = 100 * _grid(mine, classes, column)
            if shares.size and not np.isnan(shares).any():
                means = [*shares.mean(axis=1), shares.mean()]
                lines.append([f"{name}, {title}", *(f"{share:.1f}" for share in means)])
    if not lines:
        return []
    return [
        "## Inside the boundary",
        "Per cent of the test rows with a signed distance of at most 0. Of the inliers, what is "
        "missing to 100 is the rate of false alarms; of all others, what is inside is overlooked.",
        grid(["detector, rows", *classes, "mean"], lines),
    ]


def _pairs(rows: Sequence[Row], detectors: Sequence[str]) -> list[str]:
    """The networks against every other detector, class by class, as a section."""
    classes = list(dict.fromkeys(row["class"] for row in rows))
    means = {}
    for name in detectors:
        mine = [row for row in rows if row["detector"] == name and not row["error"]]
        if {row["class"] for row in mine} == set(classes):
            means[name] = 100 * _grid(mine, classes, "auroc").mean(axis=1)
    lines = []
    for name in _PAIRED:
        for other in means.keys() - {name} if name in means else ():
            difference = means[name] - means[other]
            p = wilcoxon(difference).pvalue if difference.any() else 1.0
            wins = f"{(difference > 0).sum()} of {len(classes)}"
            lines.append([name, other, f"{difference.mean():+.2f}", wins, f"{p:.2g}"])
    if not lines:
        return []
    return [
        "## Class by class",
        "Difference of the AUROC in points, each class's mean over the seeds; p by Wilcoxon's "
        "signed-rank test over the classes, for each pair alone.",
        grid(
            ("detector", "against", "mean difference", "better in", "p"),
            sorted(lines, key=lambda line: (line[0], float(line[2]))),
        ),
    ]


def _number(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "failed"


def _markdown(rows: Sequence[Row], study: Study, table: str, sections: Sequence[str]) -> str:
    data = "scikit-learn's digits" if study.features is None else study.features.name
    failures = {f"{row['detector']} failed: {row['error']}." for row in rows if row["error"]}
    parts = [
        "# Table 1: one against the rest",
        f"AUROC in per cent on {data}. Each detector is trained on the training rows of one class "
        "and scores the test rows of all; rows are scaled to the unit hypersphere, with a little "
        f"noise. Seeds {', '.join(map(str, study.seeds))}, of which the peers have the first; "
        f"{environment()}.",
        *(["Quick: at most 300 steps for FLOW, IOCN and ours."] if study.quick else []),
        table,
        "Times and memory are the medians of the classes; the memory is by how much the process "
        "grew at most. FLOW is the paper's network trained by "
        "maximum likelihood and scored by minus the log-density; IOCN is the paper's preset, ours "
        "the default.",
        "Published: Schmier, Köthe, Straehle (2024), table 1, means on MoCo features of CIFAR-10, "
        "and to compare with nothing else. IOCN by class there: " + _PUBLISHED_CLASSES + ".",
        *sections,
        *sorted(failures),
        *(f"Not installed: {name}; to add it, `{how}`." for name, how in find_missing().items()),
    ]
    return "\n\n".join(parts) + "\n"
