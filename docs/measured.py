"""What benchmarks measured, of the files in `tables/`: numbers by name, and tables in Markdown.

A name is plain words, such as ``seeds KNN1 all``: a file, a detector, what is meant.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compactflow.experiments.benchmark.ranking import Line, Ranking, rank, tabulate

FOLDER = Path(__file__).parent

_OURS = "compactflow"
_PROMISED = 0.95  # share of inliers inside
_LOSS = 0.05  # what a table may lose to the fifth neighbour before it is named
# The tables that gain most by the columns one by one: docs/default.md.
_LIFTED = {"OrderStatusAnomalies", "RestaurantInspection", "ProductValidation"}

Row = dict[str, Any]
Figures = dict[str, float | str]
Array = NDArray[np.float64]


def read(name: str) -> list[Row]:
    """A file's rows, numbers as such, and what is empty as none; without lines on how it came."""
    with (FOLDER / name).open(encoding="utf-8") as file:
        return [
            {key: _value(text) for key, text in row.items()} | {"error": row.get("error") or None}
            for row in csv.DictReader(line for line in file if not line.startswith("#"))
        ]


def _value(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return text or None


def title(name: str) -> str:
    """A set's name, without the number that ADBench has before it."""
    return re.sub(r"^\d+_", "", name)


def show(detector: str) -> str:
    """A detector's name, ours in bold."""
    return f"**{detector}**" if detector == _OURS else detector


def _show_p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}" if value >= 1e-4 else "<\u00a0.0001"


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, rule, *lines))


class Benchmark:
    """What a benchmark of detectors on labelled sets found.

    Args:
        name: Of its figures.
        rows: Of its file.
    """

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        rows = [{"score_seconds": np.nan} | row for row in rows]
        self.name, self.rows = name, rows
        self.ranking: Ranking = rank(rows)
        self.detectors = [line.detector for line in self.ranking.lines]
        self.auroc = self._means("auroc")

    def _means(self, column: str) -> dict[str, Array]:
        found = tabulate(self.rows, column, self.ranking.sets, self.detectors).mean(axis=2)
        found = found.round(9)  # as in the ranking
        return dict(zip(self.detectors, found.T, strict=True))

    def compare(self, detector: str) -> tuple[int, int]:
        """On how many sets the detector is better than ours, and on how many worse."""
        difference = self.auroc[detector] - self.auroc[_OURS]
        return int((difference > 0).sum()), int((difference < 0).sum())

    def table(self) -> str:
        """A line for each detector."""
        sets = {(row["folder"], row["set"]) for row in self.rows}
        counts = Counter(folder for folder, _ in sets)
        head = (
            *("detector", f"{counts['oddbench']} of OddBench", f"{counts['adbench']} of ADBench"),
            *("all", "mean rank", "better / worse on", "p", "median fit, s"),
        )
        return table(head, map(self._cells, self.ranking.lines))

    def _cells(self, line: Line) -> list[str]:
        better, worse = self.compare(line.detector)
        counts = "" if line.p_value is None else f"{better} / {worse}"
        return [
            show(line.detector),
            *(f"{line.folders[name]:.4f}" for name in ("oddbench", "adbench")),
            *(f"{line.auroc:.4f}", f"{line.rank:.2f}"),
            *(counts, _show_p(line.p_value), f"{line.median_fit:.2g}"),
        ]

    def losses(self) -> str:
        """The sets on which ours is far behind the fifth neighbour."""
        ours, other = self.auroc[_OURS], self.auroc["KNN"]
        order = [i for i in np.argsort(ours - other) if ours[i] < other[i] - _LOSS]
        lines = (
            (
                title(self.ranking.sets[i]),
                *(f"{x:.3f}" for x in (ours[i], other[i], other[i] - ours[i])),
            )
            for i in order
        )
        return table(("table", _OURS, "KNN", "difference"), lines)

    def figures(self) -> Figures:
        """Means, differences and costs of each detector."""
        found: Figures = {}
        ours = self.ranking.lines[self.detectors.index(_OURS)]
        others = np.array([name not in _LIFTED for name in self.ranking.sets])
        for line in self.ranking.lines:
            behind = self.auroc[_OURS] - self.auroc[line.detector]
            better, worse = self.compare(line.detector)
            found |= {
                f"{line.detector} {what}": value
                for what, value in {
                    **line.folders,
                    "all": line.auroc,
                    "rank": line.rank,
                    "behind": ours.auroc - line.auroc,
                    "behind elsewhere": float(behind[others].mean()),
                    "better": better,
                    "worse": worse,
                    "p": line.p_value,
                    "fit": line.median_fit,
                    "worst fit": line.worst_fit,
                }.items()
                if value is not None
            }
            seeds = sorted({row["seed"] for row in self.rows})
            for seed, mean in zip(seeds, self._by_seed(line.detector), strict=True):
                found[f"{line.detector} seed {seed:.0f}"] = mean
        plain = [line for line in self.ranking.lines if line.p_value and "@" not in line.detector]
        found["largest p of a plain peer"] = max((line.p_value or 0) for line in plain)
        found["losses"] = self.losses().count("\n") - 2
        found["sets"] = len(self.ranking.sets)
        return {f"{self.name} {name}": value for name, value in (found | self._inside()).items()}

    def _by_seed(self, detector: str) -> list[float]:
        found = tabulate(self.rows, "auroc", self.ranking.sets, [detector])
        return found[:, 0].mean(axis=0).tolist()

    def _inside(self) -> Figures:
        """How the boundary of ours holds."""
        shares = tabulate(self.rows, "inside", self.ranking.sets, [_OURS])[:, 0]
        least = int(shares.mean(axis=1).argmin())
        return {
            "inside": 100 * float(shares.mean()),
            "inside near": 100 * float((abs(shares - _PROMISED) <= 0.03).mean()),
            "least inside": 100 * float(shares.mean(axis=1).min()),
            "least inside set": title(self.ranking.sets[least]),
        }


class Supports:
    """The default beside the presets whose support has a boundary of its own."""

    def __init__(self, rows: Sequence[Row], peers: Sequence[Row]) -> None:
        ours = [row for row in peers if row["detector"] == _OURS and row["folder"] == "adbench"]
        self.rows = {
            name: {row["set"]: row for row in found}
            for name, found in {
                "default": ours,
                "natural": [row for row in rows if row["detector"] == "natural preset"],
                "paper": [row for row in rows if row["detector"] == "paper preset"],
            }.items()
        }

    def table(self) -> str:
        """A line for each set."""
        head = [cell for name in self.rows for cell in (name, "its inside")]
        lines = (
            [
                title(name),
                *(
                    f"{rows[name][what]:.3f}" if name in rows else "–"
                    for rows in self.rows.values()
                    for what in ("auroc", "inside")
                ),
            ]
            for name in self.rows["default"]
        )
        return table(["set", *head], lines)

    def figures(self) -> Figures:
        """Means, and how the boundaries hold."""
        found: Figures = {}
        common = set(self.rows["paper"])
        for name, rows in self.rows.items():
            inside = np.array([row["inside"] for row in rows.values()])
            found |= {
                f"{name} mean": float(np.mean([row["auroc"] for row in rows.values()])),
                f"{name} mean where paper": float(
                    np.mean([rows[each]["auroc"] for each in common])
                ),
                f"{name} near": int((abs(inside - _PROMISED) <= 0.0301).sum()),
                f"{name} median inside": float(np.median(inside)),
                f"{name} sets": len(rows),
            }
            found |= {f"{name} {row['set']}": row["auroc"] for row in rows.values()}
            found |= {f"{name} {row['set']} inside": row["inside"] for row in rows.values()}
        return {f"supports {name}": value for name, value in found.items()}
