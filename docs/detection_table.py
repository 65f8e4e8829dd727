"""Writes detection.md's tables, picture and CSV, of the journals of two benchmarks.

``python docs/detection_table.py SEEDS LONG``: of several seeds, and of one with more peers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from compactflow.experiments.benchmark import front
from compactflow.experiments.benchmark.ranking import Ranking, rank, tabulate
from compactflow.experiments.rows import Row, write_csv

FOLDER = Path(__file__).parent
PAGE = FOLDER / "detection.md"
END = "<!-- end of table -->\n"

_OURS = "compactflow"
_HEAD = (
    "| detector | 60 of OddBench | 25 of ADBench | all | mean rank "
    "| better / worse than compactflow on | p | median fit, s |\n" + "|---" * 8 + "|\n"
)


def read(journal: Path) -> list[Row]:
    """The results of the detectors that have one on every set and seed, ours first."""
    lines = map(json.loads, journal.read_text(encoding="utf-8").splitlines())
    results = {(row["set"], row["detector"], row["seed"]): row for row in lines}
    rows = [row for row in results.values() if row["error"] is None]
    most = len({(row["set"], row["seed"]) for row in rows})
    counts = {row["detector"]: 0 for row in rows}
    for row in rows:
        counts[row["detector"]] += 1
    complete = [row for row in rows if counts[row["detector"]] == most]
    return sorted(complete, key=lambda row: (row["detector"] != _OURS, row["folder"], row["set"]))


def render(ranking: Ranking, rows: Sequence[Row]) -> str:
    """The table, in Markdown."""
    names = [line.detector for line in ranking.lines]
    means = tabulate(rows, "auroc", ranking.sets, names).mean(axis=2)
    ours = means[:, names.index(_OURS)]
    lines = []
    for line, auroc in zip(ranking.lines, means.T, strict=True):
        own = line.p_value is None
        cells = [
            f"**{line.detector}**" if own else line.detector,
            *(f"{line.folders[name]:.4f}" for name in ("oddbench", "adbench")),
            f"{line.auroc:.4f}",
            f"{line.rank:.2f}",
            "" if own else f"{np.sum(auroc > ours)} / {np.sum(auroc < ours)}",
            "" if own else f"{line.p_value:.2g}",
            f"{line.median_fit:.2g}",
        ]
        lines.append(f"| {' | '.join(cells)} |\n")
    return _HEAD + "".join(lines)


def write(rows: Sequence[Row], path: Path) -> None:
    """The rows, with few digits."""
    kept = ("folder", "set", "detector", "seed", "auroc", "average_precision", "inside")
    digits = [
        {name: round(row[name], 4) if isinstance(row[name], float) else row[name] for name in kept}
        for row in rows
    ]
    write_csv(path, digits)


def main() -> None:
    """Write them all."""
    text = PAGE.read_text(encoding="utf-8")
    for name, journal in zip(("detection", "detection-peers"), sys.argv[1:], strict=True):
        rows = read(Path(journal))
        ranking = rank(rows)
        start = f"<!-- {name} -->\n"
        before, rest = text.split(start)
        text = before + start + render(ranking, rows) + END + rest.split(END, 1)[1]
        write(rows, FOLDER / "tables" / f"{name}.csv")
    PAGE.write_text(text, encoding="utf-8")
    front.draw(ranking.lines).savefig(FOLDER / "images" / "detection-front.png")


if __name__ == "__main__":
    main()
