"""Markdown tables of a ``--benchmark-json`` file: ``python -m benchmarks.report FILE``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["report"]

_REFERENCE = "FrEIA"


def report(path: Path) -> str:
    """The tables: medians with quartiles, and the ratio to FrEIA's in the same group."""
    record = json.loads(path.read_text())
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in record["benchmarks"]:
        groups[row["group"]].append(row)
    machine = record["machine_info"]
    info = record["benchmarks"][0]["extra_info"]
    lines = [
        "# Timings",
        "",
        f"{machine['cpu']['brand_raw']}, {info['threads']} threads, {info['dtype']}, torch "
        f"{info['torch']}, Python {machine['python_version']}; {record['datetime'][:10]}. Times "
        "are medians with quartiles; the ratio is to FrEIA in the same run.",
    ]
    for group, rows in sorted(groups.items()):
        lines += ["", f"## {group}", "", "| what | ms | quartiles | ratio |", "|---|---|---|---|"]
        lines += [_line(row, rows) for row in sorted(rows, key=_median)]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    stats = row["stats"]
    reference = [_median(each) for each in rows if each["extra_info"]["name"] == _REFERENCE]
    ratio = f"{_median(row) / reference[0]:.2f}" if reference else ""
    quartiles = f"{1e3 * stats['q1']:.2f} to {1e3 * stats['q3']:.2f}"
    what = " ".join(filter(None, (row["extra_info"]["name"], row["extra_info"].get("push"))))
    return f"| {what} | {1e3 * _median(row):.2f} | {quartiles} | {ratio} |"


def _median(row: dict[str, Any]) -> float:
    return float(row["stats"]["median"])


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1])))
