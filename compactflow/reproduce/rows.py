"""Tables of results on disk."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Row", "write_csv"]

Row: TypeAlias = dict[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows of equal keys as CSV with a header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
