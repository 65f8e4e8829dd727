"""Why rows are outliers: explanations and the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from compactflow.cli.app import app
from compactflow.cli.models import open_model
from compactflow.cli.options import AsJson, Device, Force, Model, New, Out, Quiet
from compactflow.cli.output import check_out, print_json, print_line, printable

if TYPE_CHECKING:
    import pyarrow as pa

    from compactflow.estimator import OneClassFlow

__all__ = ["explain", "report"]

_SHOWN = 20  # outliers in the table on the screen


@app.command(epilog="Example: compactflow explain pump.model new.csv --top 3")
def explain(
    model: Model,
    new: New,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write all explanations to this table.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Features per outlier at most.")] = 5,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Say of each outlier which features set it apart, in constant memory.

    For each, an inlier near it is found. The columns are: row (the first is 1), signed_distance,
    constraint and violation (of the support in latent space, -1 where none is broken), feature,
    value, counterfactual (the inlier's value), difference, and deviation (how far the value is
    off, in standard deviations among inliers). Without --out the furthest off come as a table on
    the screen, of the first outliers; with --json as a list.
    """
    from compactflow import files, tables
    from compactflow.explanation import RECORD

    if out is not None:
        check_out(out, force=force, inputs=[model, new])
        tables.check_format(out)
    detector, batches = open_model(model, new, device)
    parts = _records(detector, batches, top)
    if out is None:
        (_print_list if as_json else _print_table)(chain.from_iterable(parts))
        return
    outliers: set[int] = set()
    rows = _as_batches(parts, outliers)
    files.write_atomically(out, lambda temporary: tables.write(temporary, RECORD, rows))
    if as_json:
        print_json({"outliers": len(outliers), "explanations": str(out)})
    elif not quiet:
        print_line("explained", f"{len(outliers)} outliers")
        print_line("explanations", out)


@app.command(epilog="Example: compactflow report pump.model new.csv --out report.html")
def report(
    model: Model,
    new: New,
    out: Out,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Write one HTML page with pictures of a model and what it says of a table.

    The page needs nothing beside itself: no network, no scripts. Memory is constant: all rows are
    counted, and the pictures show a random sample of a long table.
    """
    import numpy as np

    from compactflow import files
    from compactflow.report import render
    from compactflow.survey import Survey

    check_out(out, force=force, inputs=[model, new])
    detector, batches = open_model(model, new, device)
    arrays = (np.column_stack([column.to_numpy() for column in batch]) for batch in batches)
    survey = Survey.of(detector, arrays)
    text = render(detector, survey, model=model.name, table=new.name)
    files.write_atomically(out, lambda temporary: _write_text(temporary, text))
    if as_json:
        print_json({"rows": survey.rows, "outliers": survey.outliers, "report": str(out)})
    elif not quiet:
        print_line("report", out)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _records(
    detector: OneClassFlow, batches: Iterator[pa.RecordBatch], top: int
) -> Iterator[list[dict[str, Any]]]:
    """The records of each batch, with the rows of all batches counted from 1."""
    import pyarrow as pa

    first = 1
    for batch in filter(len, batches):
        explanation = detector.explain(pa.Table.from_batches([batch]))
        yield [record | {"row": first + record["row"]} for record in explanation.records(top)]
        first += len(batch)


def _as_batches(
    parts: Iterator[list[dict[str, Any]]], outliers: set[int]
) -> Iterator[pa.RecordBatch]:
    """Make tables of records, and collect the rows of the outliers on the way."""
    import pyarrow as pa

    from compactflow.explanation import RECORD

    for records in parts:
        outliers.update(record["row"] for record in records)
        yield pa.RecordBatch.from_pylist(records, schema=pa.schema(RECORD))


def _print_list(records: Iterable[dict[str, Any]]) -> None:
    """Print a JSON list, element by element."""
    separator = "["
    for record in records:
        print(f"{separator}\n  {json.dumps(record)}", end="")
        separator = ","
    print("[]" if separator == "[" else "\n]")


def _print_table(records: Iterable[dict[str, Any]]) -> None:
    """Print the first outliers as a table, and say how many more there are."""
    headers = ("row", "signed distance", "feature", "value", "inlier at", "off by")
    table = Table(*headers)
    outliers: set[int] = set()
    for record in records:
        begins = record["row"] not in outliers
        outliers.add(record["row"])
        if len(outliers) <= _SHOWN:
            table.add_row(
                str(record["row"]) if begins else "",
                f"{record['signed_distance']:.4g}" if begins else "",
                Text(printable(record["feature"])),
                *(f"{record[name]:.4g}" for name in ("value", "counterfactual", "deviation")),
            )
    if outliers:
        Console().print(table)
    print_line("outliers", len(outliers))
    if len(outliers) > _SHOWN:
        print_line("shown", f"the first {_SHOWN}; --out FILE writes all")
