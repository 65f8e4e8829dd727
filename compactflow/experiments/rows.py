"""Tables of results on disk."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from compactflow.tables import defuse

__all__ = ["Row", "write_csv"]

Row: TypeAlias = dict[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of equal keys as CSV with a header, and no formulas (`tables.write`)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(defuse, rows[0]))
        writer.writerows([defuse(row[name]) for name in rows[0]] for row in rows)
