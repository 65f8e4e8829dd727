"""Writes the tables of scale.md from what was measured: ``python docs/scale_table.py``.

`tables/scale-rows.json` is what ``python -m benchmarks.costs rows`` printed, and
`tables/scale-simulation.jsonl` what ``python -m benchmarks.scale ray 100000000`` did. A line of
`tables/scale-memory.jsonl` is what ``python -m benchmarks.costs memory ROWS`` printed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER / "scale.md"
_RUN = ("fit", "score")


def constants(told: dict[str, Any]) -> str:
    """What a row costs."""
    lines = [
        ("scoring by torch", f"{told['torch_us']:.0f} µs a row of one core"),
        ("the same by `onnxruntime`", f"{told['onnx_us']:.0f} µs a row"),
        ("largest difference of their scores", f"{told['onnx_difference']:.1g} of a score"),
        ("decisions that differ", f"{told['onnx_decisions_that_differ']} of 4,096"),
        ("a row in, Parquet", f"{told['row_bytes']:.0f} bytes"),
        ("a row's score and decision, Parquet", f"{told['score_bytes']:.1f} bytes"),
        ("the model, sent once to each worker", f"{told['model_mb']:.1f} MB"),
        ("the same in ONNX", f"{told['onnx_mb']:.1f} MB"),
    ]
    return "| constant | value |\n|---|---|\n" + "".join(f"| {a} | {b} |\n" for a, b in lines)


def plan(told: dict[str, Any]) -> str:
    """What follows for many rows."""
    hours = [rows * told["torch_us"] / 3.6e9 for rows in (1e9, 1e12)]
    traffic = 1e3 / told["torch_us"] * told["row_bytes"] * 1e6 / 1e9
    lines = [
        ("scoring", *(f"{each:,.0f} core hours" for each in hours)),
        ("on 64 cores", f"{60 * hours[0] / 64:.0f} minutes", f"{hours[1] / 64 / 24:.0f} days"),
        ("on 1,000 cores", f"{3.6 * hours[0]:.0f} seconds", f"{hours[1] / 1e3:.0f} hours"),
        ("read", f"{told['row_bytes']:.0f} GB", f"{told['row_bytes']:.0f} TB"),
        ("written, scores alone", *(f"{told['score_bytes']:.0f} {unit}" for unit in ("GB", "TB"))),
        ("traffic of 1,000 cores", *2 * [f"{traffic:.1f} GB a second"]),
    ]
    rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return "| | 10⁹ rows | 10¹² rows |\n|---|---|---|\n" + rows


def simulation(told: list[dict[str, Any]]) -> str:
    """What the simulation found, and how its costs grew."""
    head = "| rows | wall, s | µs a row scored | outliers | found | of which false | share |\n"
    lines = []
    for line in told:
        false = line["found"] - line["of which outliers"]
        counts = (line["outliers"], line["found"], false)
        lines.append(
            f"| {line['rows']:,} | {line['wall seconds']:,.0f} | {line['µs a row scored']:.1f} | "
            f"{' | '.join(f'{count:,}' for count in counts)} | {false / line['found']:.4f} |\n"
        )
    return head + "|---" * 7 + "|\n" + "".join(lines)


def memory(told: list[dict[str, Any]]) -> str:
    """What the commands fit and score take for files of more and more rows."""
    head = "| rows in the file | file | fit: memory at most, processor time | score: likewise |\n"
    lines = []
    for line in told:
        each = [f"{line[name]['mib']:.0f} MiB, {line[name]['processor_s']:.0f} s" for name in _RUN]
        lines.append(f"| {line['rows']:,} | {line['file_mb']:.0f} MB | {' | '.join(each)} |\n")
    return head + "|---" * 4 + "|\n" + "".join(lines)


def render(page: str) -> str:
    """The page with the present tables."""
    rows = json.loads((FOLDER / "tables" / "scale-rows.json").read_text(encoding="utf-8"))
    tables = {
        "constants": constants(rows),
        "plan": plan(rows),
        "simulation": simulation(_lines("scale-simulation.jsonl")),
        "memory": memory(_lines("scale-memory.jsonl")),
    }
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = page.partition(start)
        page = before + start + table + end + rest.partition(end)[2]
    return page


def _lines(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / "tables" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
