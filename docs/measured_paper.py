"""What the paper's table 1 and the comparison of samples measured: see `measured`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
from measured import Array, Figures, Row, table
from scipy.stats import wilcoxon

from compactflow.experiments.reproduce.table1 import PUBLISHED

_OURS = ("IOCN", "ours")
_MISSING = "–"


def _shorten(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:,.0f}"


class Table1:
    """AUROC of one class against the rest, in per cent, by the mean of the seeds.

    Args:
        name: What begins the names of its figures.
        rows: Of its file.
    """

    def __init__(self, name: str, rows: Sequence[Row]) -> None:
        self.name = name
        self.classes = list(dict.fromkeys(row["class"] for row in rows))
        self.rows = defaultdict(list)
        for row in rows:
            self.rows[row["detector"], row["class"]].append(row)
        self.detectors = list(dict.fromkeys(row["detector"] for row in rows))

    def _percent(self, detector: str, column: str = "auroc") -> Array:
        seeds = [self.rows[detector, name] for name in self.classes]
        return 100 * np.array([np.mean([row[column] for row in rows]) for rows in seeds])

    def table(self) -> str:
        """A line for each detector, of the paper's too that were not run."""
        names = [*PUBLISHED, *(name for name in self.detectors if name not in PUBLISHED)]
        head = ("detector", *self.classes, "mean", "published")
        return table(head, map(self._line, names))

    def _line(self, name: str) -> list[str]:
        published = f"{PUBLISHED[name]:.1f}" if name in PUBLISHED else _MISSING
        if name not in self.detectors:
            return [name, *[_MISSING] * (len(self.classes) + 1), published]
        auroc = self._percent(name)
        return [name, *(f"{value:.1f}" for value in (*auroc, auroc.mean())), published]

    def pairs(self) -> str:
        """By how much the paper's preset and the default are ahead of each detector."""
        head = [
            "detector",
            *(f"{name}: {what}" for name in _OURS for what in ("ahead", "in", "p")),
        ]
        others = sorted(self.detectors, key=lambda name: -self._percent(name).mean())
        return table(head, ([name, *self._ahead(name)] for name in others))

    def _ahead(self, other: str) -> Iterator[str]:
        for name in _OURS:
            difference = self._percent(name) - self._percent(other)
            if name == other:
                yield from ("", "", "")
            else:
                yield f"{difference.mean().round(2) + 0:+.2f}"
                yield f"{(difference > 0).sum()} of {len(self.classes)}"
                yield f"{wilcoxon(difference).pvalue:.2g}"

    def inside(self) -> str:
        """What lies inside the boundaries."""
        lines = []
        for name in _OURS:
            for rows, column in (("inliers", "inside"), ("all others", "missed")):
                shares = self._percent(name, column)
                cells = (f"{share:.1f}" for share in (*shares, shares.mean()))
                lines.append([f"{name}, {rows} inside", *cells])
        return table(["detector, rows", *self.classes, "mean"], lines)

    def figures(self) -> Figures:
        """Means, and differences to the paper's preset."""
        found: Figures = {}
        paper = self._percent("IOCN").mean()
        for name in self.detectors:
            mean = float(self._percent(name).mean())
            figure = f"{self.name} {name}"
            found |= {figure: mean, f"{figure} ahead of IOCN": mean - float(paper)}
        for name in _OURS:
            found[f"{self.name} {name} inside"] = float(self._percent(name, "inside").mean())
        return found


class Samples:
    """How much samples look like inliers that were held out.

    Args:
        rows: Of its file.
    """

    _MEASURES: ClassVar = {
        "deviation": "deviation of the standard deviations, over a set's features",
        "energy": "energy distance to held-out rows, over that of training rows",
        "auroc": "AUROC of a classifier that tells samples from held-out rows",
        "nearest": "distance to the nearest training row, over that of held-out rows",
    }

    def __init__(self, rows: Sequence[Row]) -> None:
        names = [name for name in rows[0] if name not in ("set", "error")]
        self.sets = [row["set"] for row in rows]
        self.values = {
            name: np.array([np.nan if row[name] is None else row[name] for row in rows])
            for name in names
        }

    def table(self) -> str:
        """A line for each measure."""
        lines = []
        for name, meaning in self._MEASURES.items():
            values = self.values[name]
            same = self.values.get(f"{name} of training rows")
            told = np.nanmedian(values), 1.0 if same is None else np.nanmedian(same)
            worst = np.nanmin(values) if name == "nearest" else np.nanmax(values)
            lines.append([meaning, *(f"{value:.3f}" for value in told), _shorten(worst)])
        return table(("over the sets", "median", "median of training rows", "worst"), lines)

    def figures(self) -> Figures:
        """Medians, extremes, and on how many sets the aim is met."""
        found: Figures = {"samples sets": len(self.sets)}
        for name, values in self.values.items():
            found |= {
                f"samples {name}": float(np.nanmedian(values)),
                f"samples {name} at most .05": int((values <= 0.05).sum()),
                f"samples {name} worst": float(np.nanmax(values)),
                f"samples {name} worst set": self.sets[int(np.nanargmax(values))],
            }
        return found
