"""Why rows are outliers: explanations and the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from compactflow.cli.app import app
from compactflow.cli.inputs import Rows, check_kept, columns_of, open_model, read_rows
from compactflow.cli.options import (
    AsJson,
    Decimal,
    Device,
    Encoding,
    Force,
    Header,
    Id,
    Keep,
    Model,
    New,
    Out,
    Quiet,
    Sep,
)
from compactflow.cli.output import check_out, print_json, print_line, printable, write_json
from compactflow.terminal import Terminal
from compactflow.text import shown

if TYPE_CHECKING:
    import pyarrow as pa

    from compactflow.detector.estimator import OneClassFlow

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
    id: Id = None,
    keep: Keep = None,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    header: Header = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Say of each outlier which features set it apart, in constant memory.

    For each, an inlier near it is found. The columns are: row (the first is 1), signed_distance,
    constraint and violation (of the support in latent space, -1 where none is broken), feature,
    value, counterfactual (the inlier's value), difference, and deviation (how far the value is
    off, in standard deviations among inliers), then an --id and the columns to --keep. Without
    --out the furthest off come as a table on the screen, of the first outliers; with --json as a
    list.
    """
    from compactflow import files, tables
    from compactflow.detector.explanation import RECORD

    if out is not None:
        check_out(out, force=force, inputs=[model, new])
        tables.check_output(out)
    dialect = tables.Dialect(separator=sep, decimal=decimal, encoding=encoding, header=header)
    detector = open_model(model, device)
    kept = check_kept([*(id or []), *(keep or [])], RECORD)
    cells = dict.fromkeys(("value", "counterfactual"), "string") if detector.encoder_ else {}
    types = {**RECORD, **cells, **tables.column_types(new, kept, dialect)}
    show = not (quiet or as_json)
    batches = read_rows(
        new,
        *columns_of(detector),
        "explaining",
        encoder=detector.encoder_,
        keep=kept,
        dialect=dialect,
        show=show,
        quiet=quiet,
    )
    parts = _records(detector, batches, top)
    if out is None:
        (_print_list if as_json else _print_table)(chain.from_iterable(parts))
        return
    outliers: set[int] = set()
    rows = _as_batches(parts, types, outliers)
    files.write_atomically(out, lambda temporary: tables.write(temporary, types, rows))
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
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    header: Header = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Write one HTML page with pictures of a model and what it says of a table.

    The page needs nothing beside itself: no network, no scripts. Memory is constant: all rows are
    counted, and the pictures show a random sample of a long table.
    """
    from compactflow import files, tables
    from compactflow.report.page import render
    from compactflow.report.survey import Survey

    check_out(out, force=force, inputs=[model, new])
    dialect = tables.Dialect(separator=sep, decimal=decimal, encoding=encoding, header=header)
    detector = open_model(model, device)
    batches = read_rows(
        new,
        *columns_of(detector),
        "reading",
        encoder=detector.encoder_,
        dialect=dialect,
        show=not (quiet or as_json),
        quiet=quiet,
    )
    survey = Survey.of(
        detector, (rows.X if rows.table is None else rows.table for rows in batches)
    )
    text = render(detector, survey, model=model.name, table=new.name)
    files.write_atomically(out, lambda temporary: _write_text(temporary, text))
    if as_json:
        print_json({"rows": survey.rows, "outliers": survey.outliers, "report": str(out)})
    elif not quiet:
        print_line("report", out)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _records(
    detector: OneClassFlow, batches: Iterable[Rows], top: int
) -> Iterator[list[dict[str, Any]]]:
    """The records of each batch, with the rows of all batches counted from 1, and what is kept."""
    from compactflow.detector.explanation import explain as explain_rows

    names, encoder = detector.names_, detector.encoder_
    first = 1
    for rows in batches:
        explanation = explain_rows(
            detector.ensemble_, rows.X, names, encoder=encoder, table=rows.table
        )
        yield [
            record
            | {"row": first + record["row"]}
            | rows.kept.slice(record["row"], 1).to_pylist()[0]
            for record in explanation.records(top)
        ]
        first += len(rows.X)


def _as_batches(
    parts: Iterator[list[dict[str, Any]]], types: Mapping[str, Any], outliers: set[int]
) -> Iterator[pa.RecordBatch]:
    """Make tables of records, and collect the rows of the outliers on the way."""
    import pyarrow as pa

    texts = [name for name in ("value", "counterfactual") if types[name] == "string"]
    for records in parts:
        outliers.update(record["row"] for record in records)
        spelled = [
            record | {name: None if record[name] is None else str(record[name]) for name in texts}
            for record in records
        ]
        yield pa.RecordBatch.from_pylist(spelled, schema=pa.schema(types))


def _print_list(records: Iterable[dict[str, Any]]) -> None:
    """Print a JSON list, element by element."""
    separator = "["
    for record in records:
        write_json(f"{separator}\n  {json.dumps(record, default=str)}")
        separator = ","
    write_json("[]\n" if separator == "[" else "\n]\n")


def _print_table(records: Iterable[dict[str, Any]]) -> None:
    """Print the first outliers as a table, and say how many more there are."""
    from compactflow.detector.explanation import RECORD

    headers = ("row", "signed distance", "feature", "value", "inlier at", "off by")
    table: Table | None = None
    outliers: set[int] = set()
    for record in records:
        kept = [name for name in record if name not in RECORD]
        table = table or Table(*headers, *(escape(printable(name)) for name in kept))
        begins = record["row"] not in outliers
        outliers.add(record["row"])
        if len(outliers) <= _SHOWN:
            table.add_row(
                str(record["row"]) if begins else "",
                f"{record['signed_distance']:.4g}" if begins else "",
                Text(printable(record["feature"])),
                *(Text(shown(record[name])) for name in ("value", "counterfactual", "deviation")),
                *(Text(printable(record[name]) if begins else "") for name in kept),
            )
    if table:
        Terminal().print(table)
    print_line("outliers", len(outliers))
    if len(outliers) > _SHOWN:
        print_line("shown", f"the first {_SHOWN}; --out FILE writes all")
