"""What a benchmark writes.

``results.csv`` and ``results.parquet`` hold one row per data set, detector and seed;
``benchmark.md`` ranks the detectors; ``critical-difference.png`` shows which of them differ, and
``front.png`` what each costs.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pyarrow as pa
from joblib import cpu_count
from rich.markup import escape
from rich.table import Table

from compactflow import tables
from compactflow.experiments.benchmark import diagram, front
from compactflow.experiments.benchmark.peers import INSTALL
from compactflow.experiments.benchmark.ranking import (
    Line,
    Ranking,
    critical_difference,
    rank,
    tabulate,
)
from compactflow.experiments.rows import Row
from compactflow.files import write_atomically

__all__ = ["COLUMNS", "environment", "grid", "write", "write_text"]

#: The columns of the results and their Arrow types.
COLUMNS = {
    "set": "string",
    "detector": "string",
    "folder": "string",
    "dirty": "float64",
    "seed": "int64",
    "auroc": "float64",
    "average_precision": "float64",
    "fit_seconds": "float64",
    "score_seconds": "float64",
    "inside": "float64",
    "n_train": "int64",
    "n_test": "int64",
    "dim": "int64",
    "error": "string",
}

_DIAGRAM, _FRONT = "critical-difference.png", "front.png"


def write(out: Path, rows: Sequence[Row], absent: dict[str, str], command: str) -> Table:
    """Write the report.

    Args:
        out: The folder.
        rows: One per data set, detector and seed, with `COLUMNS`.
        absent: Detectors that are not installed, and how to install them.
        command: The command line that makes this report.

    Returns:
        The ranking, for the terminal.
    """
    rows = sorted(rows, key=lambda row: (row["set"], row["seed"]))
    ranking = rank(rows)
    batch = pa.RecordBatch.from_pylist(list(rows), schema=pa.schema(COLUMNS))
    for name in ("results.csv", "results.parquet"):
        write_atomically(out / name, lambda path: tables.write(path, COLUMNS, [batch]))
    if ranking.friedman is None:
        for name in (_DIAGRAM, _FRONT):
            (out / name).unlink(missing_ok=True)
    else:
        figure = diagram.draw(ranking.lines, len(ranking.sets))
        write_atomically(out / _DIAGRAM, figure.savefig)
        write_atomically(out / _FRONT, front.draw(ranking.lines).savefig)
    text = _markdown(rows, ranking, absent, command)
    write_atomically(out / "benchmark.md", lambda path: write_text(path, text))
    return _table(ranking, absent)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8."""
    path.write_text(text, encoding="utf-8")


def _cells(line: Line) -> dict[str, str]:
    """What a table says of a detector, by column."""
    several = len(line.folders) > 1
    return {
        "detector": line.detector,
        "mean AUROC": f"{line.auroc:.4f}",
        **({name: f"{auroc:.4f}" for name, auroc in line.folders.items()} if several else {}),
        "mean AP": f"{line.average_precision:.4f}",
        "mean rank": f"{line.rank:.2f}",
        "wins": str(line.wins),
        "p": "–" if line.p_value is None else f"{line.p_value:.2g}",
        "seed std": "–" if line.seed_std is None else f"{line.seed_std:.4f}",
        "median fit s": f"{line.median_fit:.3g}",
        "worst fit s": f"{line.worst_fit:.3g}",
        "median score s": f"{line.median_score:.3g}",
    }


def _notes(ranking: Ranking, absent: dict[str, str]) -> list[str]:
    """What is missing from the ranking, and why."""
    notes = [
        f"Set {name} is left out: no result of {', '.join(detectors)} on every seed."
        for name, detectors in ranking.incomplete.items()
    ]
    notes += [f"{name} failed on every set and is not ranked." for name in ranking.failed]
    for install in dict.fromkeys(absent.values()):
        names = ", ".join(name for name in absent if absent[name] == install)
        notes.append(f"Not installed: {names}; to add them, {install}")
    return notes


def _table(ranking: Ranking, absent: dict[str, str]) -> Table:
    table = Table(
        title=f"{len(ranking.sets)} data set(s)",
        caption=escape("\n".join(_notes(ranking, absent))),
        caption_justify="left",
    )
    cells = [_cells(line) for line in ranking.lines]
    for i, name in enumerate(cells[0] if cells else ["detector"]):
        table.add_column(name, justify="right" if i else "left", no_wrap=not i)
    for line in cells:
        table.add_row(*line.values())
    return table


def _markdown(rows: Sequence[Row], ranking: Ranking, absent: dict[str, str], command: str) -> str:
    seeds = sorted({row["seed"] for row in rows})
    cells = [_cells(line) for line in ranking.lines]
    parts = [
        "# Benchmark",
        f"    {command}",
        "Clean one-class protocol: of more than 20,000 rows, 20,000 are drawn; a random half of "
        "the inliers is for training, all other rows are for testing; every detector has one "
        "fixed set of hyperparameters, and the peers' features are standardised on the training "
        "rows, or mapped by the first layer that is named after an @.",
        *_contamination(rows),
        f"Seeds {', '.join(map(str, seeds))}; {environment()}.",
        f"## Ranking over {len(ranking.sets)} set(s)",
        grid(list(cells[0]), [list(line.values()) for line in cells]) if cells else "None.",
        "Rank and wins are by a set's AUROC, averaged over the seeds; the seed std is that of the "
        "mean AUROC over the sets. p is of Wilcoxon's signed-rank test over the sets that a "
        "detector equals the first that ran, with Holm's correction.",
        *_significance(ranking),
        *(f"- {note}" for note in _notes(ranking, absent)),
        "## AUROC per set",
        _per_set(rows, "auroc"),
        "## Average precision per set",
        _per_set(rows, "average_precision"),
        *_inside(rows),
        *_errors(rows),
    ]
    return "\n\n".join(parts) + "\n"


def environment() -> str:
    """The versions and the machine, as one line for a report."""
    found = []
    for name in ("compactflow", "torch", "scikit-learn", "numpy", *INSTALL):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"{', '.join(found)}; {platform.system()} on {platform.machine()}, Python "
        f"{platform.python_version()}, {cpu_count()} cores, one thread per fit"
    )


def _significance(ranking: Ranking) -> list[str]:
    if ranking.friedman is None:
        return ["With fewer than three detectors or two sets, differences are not tested."]
    difference = critical_difference(len(ranking.lines), len(ranking.sets))
    return [
        f"Friedman test that all are equal: p = {ranking.friedman:.2g}. Mean ranks that are less "
        f"than {difference:.2f} apart, joined by bars below, do not differ significantly "
        "(Nemenyi test at 0.05; Demšar 2006).",
        f"![Mean ranks and critical difference]({_DIAGRAM})",
        f"![Mean AUROC and seconds to fit]({_FRONT})",
    ]


def _contamination(rows: Sequence[Row]) -> list[str]:
    share = rows[0]["dirty"] if rows else 0
    mixed = f"{share:.0%} of the outliers, but at least one, are mixed into training."
    return [mixed] if share else []


def _per_set(rows: Sequence[Row], column: str) -> str:
    """Sets by detectors, averaged over the seeds that have a value; – where none has."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    detectors = list(dict.fromkeys(row["detector"] for row in rows if row[column] is not None))
    values = np.ma.masked_invalid(tabulate(rows, column, sets, detectors)).mean(axis=2)
    lines = [
        [name, *("–" if value is np.ma.masked else f"{value:.4f}" for value in line)]
        for name, line in zip(sets, values, strict=True)
    ]
    return grid(("set", *detectors), lines)


def _inside(rows: Sequence[Row]) -> list[str]:
    if all(row["inside"] is None for row in rows):
        return []
    return [
        "## Share of the test inliers that are called inliers",
        _per_set(rows, "inside"),
    ]


def _errors(rows: Sequence[Row]) -> list[str]:
    failed = [row for row in rows if row["error"] is not None]
    if not failed:
        return []
    lines = [
        [row["set"], row["detector"], str(row["seed"]), row["error"].replace("|", "\\|")]
        for row in failed
    ]
    return ["## Failures", grid(("set", "detector", "seed", "error"), lines)]


def grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    body = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in body)
