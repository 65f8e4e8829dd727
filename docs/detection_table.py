"""Writes what benchmarks measured as CSV, and the picture of what a fit costs.

``python docs/detection_table.py detection=JOURNAL ...``: the file in `tables/` and the journal
that it is made of; ``detection`` of several seeds, ``detection-peers`` of more peers,
``detection-deep`` of networks, ``supports`` of the presets that supports.md compares, and
``dirty`` of runs with outliers in training, clean ones too. Then ``python docs/figures.py``
writes the pages.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from compactflow.experiments.benchmark import front
from compactflow.experiments.benchmark.ranking import rank
from compactflow.experiments.rows import Row, write_csv

FOLDER = Path(__file__).parent


def read(journal: Path) -> list[Row]:
    """The last result of each detector on each set, seed and share of outliers, ours first."""
    lines = map(json.loads, journal.read_text(encoding="utf-8").splitlines())
    results = {(row["set"], row["detector"], row["seed"], row["dirty"]): row for row in lines}
    rows = [row for row in results.values() if row["error"] is None]
    return sorted(
        rows, key=lambda row: (row["detector"] != "compactflow", row["folder"], row["set"])
    )


def drop_incomplete(rows: Sequence[Row]) -> list[Row]:
    """The results of the detectors that have one on every set and seed."""
    most = len({(row["set"], row["seed"], row["dirty"]) for row in rows})
    counts = Counter(row["detector"] for row in rows)
    return [row for row in rows if counts[row["detector"]] == most]


def write(rows: Sequence[Row], path: Path) -> None:
    """The rows, with the digits that decide who is better."""
    digits = {"dirty": 4, "auroc": 12, "average_precision": 4, "inside": 6, "fit_seconds": 4}
    if not any(row["dirty"] for row in rows):
        del digits["dirty"]
    kept = ("folder", "set", "detector", "seed", *digits)
    rounded = [
        {
            name: round(row[name], digits[name]) if isinstance(row[name], float) else row[name]
            for name in kept
        }
        for row in rows
    ]
    write_csv(path, rounded)


def main() -> None:
    """Write them all."""
    for part in sys.argv[1:]:
        name, journal = part.split("=")
        rows = read(Path(journal))
        if name not in ("supports", "dirty"):
            rows = drop_incomplete(rows)
        write(rows, FOLDER / "tables" / f"{name}.csv")
        if name == "detection-peers":
            front.draw(rank(rows).lines).savefig(FOLDER / "images" / "detection-front.png")


if __name__ == "__main__":
    main()
