"""Tables and plots of ``--benchmark-json`` files: ``python -m benchmarks.report FILE``."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any, final

import typer

from benchmarks.plots import PRODUCTS, plot

__all__ = ["Row", "read", "report"]

# What else is measured, and how it is written.
_EXTRAS = {
    "error": ".1e",
    "iterations": ".0f",
    "auroc": ".3f",
    "rows_per_second": ",.0f",
    "peak_mib": ".0f",
}


@final
class Row:
    """All timings of one contender of a group.

    Args:
        records: Its records, one a pass.
    """

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.info = records[0]["extra_info"]
        self.medians = {
            each["extra_info"]["turn"]: 1e3 * each["stats"]["median"] for each in records
        }
        self.quartiles = tuple(
            1e3 * median(each["stats"][q] for each in records) for q in ("q1", "q3")
        )
        self.extras = {
            key: median(each["extra_info"][key] for each in records)
            for key in _EXTRAS
            if key in self.info
        }

    @property
    def milliseconds(self) -> float:
        """The median of the passes' medians."""
        return median(self.medians.values())

    def ratios(self, other: Row) -> list[float]:
        """This one's time over another's, in each pass that has both, in order of size."""
        shared = self.medians.keys() & other.medians.keys()
        return sorted(self.medians[turn] / other.medians[turn] for turn in shared)


Groups = dict[str, dict[str, Row]]


def read(record: dict[str, Any]) -> Groups:
    """The rows of each group, by name, from the content of a ``--benchmark-json`` file."""
    records: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    finished = [each for each in record["benchmarks"] if each["group"] is not None]
    for each in finished:
        records[each["group"]][each["extra_info"]["name"]].append(each)
    return {
        group: {name: Row(each) for name, each in rows.items()}
        for group, rows in sorted(records.items())
    }


def report(record: dict[str, Any]) -> str:
    """The tables: medians with quartiles, and the ratio to the reference in the same pass."""
    machine = record["machine_info"]
    info = record["benchmarks"][0]["extra_info"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    lines = [
        f"{machine['cpu']['brand_raw']}, {machine['cpu']['count']} cores, {info['threads']} "
        f"threads, Python {machine['python_version']}, {versions}; {record['datetime'][:10]}.",
    ]
    for group, rows in read(record).items():
        lines += ["", *_table(group, rows)]
    return "\n".join(lines) + "\n"


def _table(group: str, rows: dict[str, Row]) -> list[str]:
    shown = {name: row for name, row in rows.items() if not name.endswith(PRODUCTS)}
    extras = [key for key in _EXTRAS if any(key in row.extras for row in shown.values())]
    # What a memory measurement takes is not of interest.
    timed = "peak_mib" not in extras
    reference = next(iter(shown.values())).info["reference"]
    columns = ["what"]
    columns += ["ms", "quartiles", f"ratio to {reference}"] if timed else []
    has_products = len(shown) < len(rows)
    columns += ["ratio to its products alone"] if has_products else []
    columns += [key.replace("_", " ") for key in extras]
    lines = [f"**{group}**", "", _line(columns), _line(["---"] * len(columns))]
    for name, row in sorted(shown.items(), key=lambda item: item[1].milliseconds):
        cells = [name]
        if timed:
            low, high = row.quartiles
            cells += [f"{row.milliseconds:.2f}", f"{low:.2f} to {high:.2f}"]
            cells.append(_ratio(row, rows.get(reference)))
        if has_products:
            cells.append(_ratio(row, rows.get(name + PRODUCTS)))
        cells += [
            format(row.extras[key], _EXTRAS[key]) if key in row.extras else "" for key in extras
        ]
        lines.append(_line(cells))
    return lines


def _ratio(row: Row, other: Row | None) -> str:
    """The median ratio of the passes; where there are several, with the least and the largest."""
    ratios = row.ratios(other) if other else []
    if not ratios:
        return ""
    spread = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
    return f"{median(ratios):.2f}{spread}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(
    files: Annotated[list[Path], typer.Argument(help="What --benchmark-json wrote.")],
    plots: Annotated[Path | None, typer.Option(help="Where the plot of the sizes goes.")] = None,
) -> None:
    """Print the tables of one or more runs, and draw the plot."""
    record, *others = [json.loads(file.read_text()) for file in files]
    for other in others:
        record["benchmarks"] += other["benchmarks"]
    if plots is not None:
        plot(read(record), plots)
    typer.echo(report(record), nl=False)


if __name__ == "__main__":
    typer.run(main)
