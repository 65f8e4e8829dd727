"""What outliers among the training rows cost, measured: see `measured`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from measured import Array, Figures, Row, show, table


class Dirty:
    """Mean AUROC by the share of a set's outliers that is among the training rows.

    Args:
        rows: Of its file.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.shares = sorted({row["dirty"] for row in rows})
        self.sets = {row["set"] for row in rows}
        names = dict.fromkeys(row["detector"] for row in rows)
        self.auroc = {name: self._means(rows, name) for name in names}

    def _means(self, rows: Sequence[Row], detector: str) -> Array:
        """The mean at each share, NaN where it was not measured."""
        found = [
            [row["auroc"] for row in rows if (row["detector"], row["dirty"]) == (detector, share)]
            for share in self.shares
        ]
        return np.array([np.mean(values) if values else np.nan for values in found])

    def table(self) -> str:
        """A line for each detector, the best on clean rows first."""
        head = ("detector", *(f"{share:.0%}" if share else "clean" for share in self.shares))
        order = sorted(self.auroc, key=lambda name: -self.auroc[name][0])
        lines = ([show(name), *map(_cell, self.auroc[name])] for name in order)
        return table(head, lines)

    def figures(self) -> Figures:
        """What each detector loses at each share."""
        found: Figures = {"dirty sets": len(self.sets)}
        for name, means in self.auroc.items():
            for share, mean in zip(self.shares, means, strict=True):
                found[f"dirty {name} at {100 * share:g}"] = float(mean)
                found[f"dirty {name} loses at {100 * share:g}"] = float(means[0] - mean)
        return found


def _cell(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
