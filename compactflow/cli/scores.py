"""Scoring the rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from compactflow.cli.app import app
from compactflow.cli.engines import needing_a_library, score_elsewhere
from compactflow.cli.following import follow_rows
from compactflow.cli.inputs import Rows, check_kept, read_rows
from compactflow.cli.labels import Labels, find_outliers
from compactflow.cli.options import (
    AsJson,
    Decimal,
    Device,
    Encoding,
    Engine,
    Force,
    Header,
    Id,
    Keep,
    Label,
    Model,
    New,
    Outlier,
    Quiet,
    Sep,
)
from compactflow.cli.output import check_out, print_json, print_line, printable
from compactflow.terminal import Terminal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from compactflow.scoring import ArrowScorer

    Array = NDArray[np.float64]

__all__ = ["score"]

# What is asked of the scorer, and the columns that it goes to.
_OUTPUTS = {
    "score": "signed_distance",
    "decision": "decision_function",
    "outlier": "is_outlier",
}
_QUALITY = {"auroc": "AUROC", "average_precision": "AP"}


@app.command(epilog="Example: compactflow score pump.model new.csv --out scores.csv --keep id")
def score(
    model: Model,
    new: New,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="What to write.")] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Only so many rows, the furthest out first.")
    ] = None,
    follow: Annotated[
        int | None, typer.Option(min=1, help="Let so many last normal rows place the boundary.")
    ] = None,
    id: Id = None,
    keep: Keep = None,
    label: Label = None,
    outlier: Outlier = None,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    header: Header = None,
    engine: Engine = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Score the rows of a table, in constant memory.

    Columns are matched by name: those the model was fitted on must be there, in any order, and
    others are ignored but for an --id and those to --keep, which ride along. The output has one
    row per input row, in the same order: signed_distance (at most 0 for inliers),
    decision_function (negative for outliers) and is_outlier. With --top the rows are sorted, with
    their number before them (the first is 1); without --out they come as a table on the screen.
    With --label, the AUROC and the average precision (AP) are printed, for 16 bytes of memory a
    row. With --follow, of a series that drifts, each row is judged by a boundary that the last
    normal rows before it place: all but those that --label calls outliers. Rows come in the order
    of the table, or of the --time that the model knows, and the features are held in memory.
    MODEL may be exported to ONNX; --json gives the SHA-256 of its file. With --engine, NEW is a
    Parquet file or a folder of them, all its columns are carried along, and --out is a folder to
    make.
    """
    if out is None and top is None:
        raise ValueError("score needs --out FILE for the scores, or --top N to show the furthest")
    if engine is not None:
        given = {"--top": top, "--follow": follow, "--id": id, "--keep": keep, "--label": label}
        given |= {"--outlier": outlier, "--sep": sep, "--decimal": decimal, "--header": header}
        given |= {"--encoding": encoding}
        summary = score_elsewhere(engine, model, new, out, given, _OUTPUTS, device)
        _report(summary, as_json=as_json, quiet=quiet)
        return
    labels = Labels.of(label, outlier)
    if out is not None:
        check_out(out, force=force, inputs=[model, new])
    from compactflow import tables
    from compactflow.encoding.windows import Windows

    if out is not None:
        tables.check_output(out)
    dialect = tables.Dialect(separator=sep, decimal=decimal, encoding=encoding, header=header)
    kept = check_kept([*(id or []), *(keep or [])], ["row", *_OUTPUTS.values()])
    scorer = _open(model, device)
    types = {**tables.column_types(new, kept, dialect), **scorer.types}
    rows = read_rows(
        new,
        scorer.columns,
        scorer.model.ranges,
        "scoring",
        encoder=scorer.model.encoder,
        labels=labels,
        keep=kept,
        order=None if follow is None else Windows.order,
        dialect=dialect,
        show=not (quiet or as_json),
        quiet=quiet,
    )
    labelled = f"{new}: column {label!r}" if label is not None else None
    tally = _Tally(labelled)
    judged = (
        _judged(scorer, rows) if follow is None else follow_rows(scorer, rows, follow, labelled)
    )
    scored = _scores(judged, list(scorer.types), tally)
    if top is not None:
        types = {"row": "int64", **types}
        scored = iter([_furthest(scored, top, types)])
    given_out = _give_out(scored, types, out, as_json=as_json)
    summary = {"model": scorer.digest, **tally.summary, **given_out}
    _report(summary, as_json=as_json, quiet=quiet and out is not None)


def _open(model: Path, device: str) -> ArrowScorer:
    """The scorer of a model, which is read here."""
    from compactflow.scoring import ArrowScorer

    scorer = ArrowScorer(model, outputs=_OUTPUTS, device=device)
    with needing_a_library():
        _ = scorer.model
    return scorer


def _give_out(
    scored: Iterator[pa.RecordBatch], types: Mapping[str, str], out: Path | None, *, as_json: bool
) -> dict[str, Any]:
    """Write the scores, or show those of the only batch; what the summary says of them."""
    from compactflow import files, tables

    if out is not None:
        files.write_atomically(out, lambda temporary: tables.write(temporary, types, scored))
        return {"scores": str(out)}
    (furthest,) = scored
    if as_json:
        return {"top": furthest.to_pylist()}
    _print_rows(furthest)
    return {}


def _report(summary: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """Say how many rows were scored, and where the scores are."""
    if as_json:
        print_json(summary)
    elif not quiet:
        print_line(
            "scored", f"{summary['rows']} rows, of which {summary['outliers']} are outliers"
        )
        for name in filter(summary.__contains__, _QUALITY):
            value = summary[name]
            print_line(_QUALITY[name], "not defined" if value is None else f"{value:.4f}")
        if "scores" in summary:
            print_line("scores", summary["scores"])


class _Tally:
    """Counts of rows and outliers, and with labels how well scores tell them.

    Attributes:
        summary: How many rows and outliers, the AUROC and the average precision; these are
            ``None`` if all rows have one label.
    """

    def __init__(self, labels: str | None) -> None:
        self.summary: dict[str, Any] = {"rows": 0, "outliers": 0}
        self._name = labels
        self._labels: list[Array] = []
        self._distances: list[Array] = []

    def add(self, distance: Array, outlier: NDArray[np.bool_], labels: Array | None) -> None:
        self.summary["rows"] += len(distance)
        self.summary["outliers"] += int(outlier.sum())
        if labels is not None:
            self._labels.append(labels)
            self._distances.append(distance)

    def judge(self) -> None:
        """Measure the quality, once all rows are there."""
        import numpy as np
        from sklearn.metrics import average_precision_score, roc_auc_score

        if self._name is None:
            return
        empty = np.empty(0)
        truth = find_outliers(np.concatenate([empty, *self._labels]), self._name)
        distance = np.concatenate([empty, *self._distances])
        both = truth.any() and not truth.all()
        measures = {"auroc": roc_auc_score, "average_precision": average_precision_score}
        for name, measure in measures.items():
            self.summary[name] = float(measure(truth, distance)) if both else None


def _judged(
    scorer: ArrowScorer, batches: Iterable[Rows]
) -> Iterator[tuple[Rows, Sequence[pa.Array]]]:
    for rows in batches:
        yield rows, scorer.score(rows.X)


def _scores(
    judged: Iterable[tuple[Rows, Sequence[pa.Array]]], names: Sequence[str], tally: _Tally
) -> Iterator[pa.RecordBatch]:
    """The scores of rows as columns of these names; the columns to keep come first."""
    import pyarrow as pa

    for rows, (distance, decision, outlier) in judged:
        tally.add(distance.to_numpy(), outlier.to_numpy(zero_copy_only=False), rows.labels)
        columns = [*rows.kept.columns, distance, decision, outlier]
        yield pa.RecordBatch.from_arrays(columns, names=[*rows.kept.schema.names, *names])
    tally.judge()


def _furthest(
    batches: Iterable[pa.RecordBatch], top: int, types: Mapping[str, Any]
) -> pa.RecordBatch:
    """The rows of the largest signed distances, in order, with their numbers."""
    import numpy as np
    import pyarrow as pa

    best = pa.schema(types).empty_table()
    first = 1
    for batch in batches:
        row = pa.array(np.arange(first, first + len(batch)))
        first += len(batch)
        numbered = pa.RecordBatch.from_arrays([row, *batch.columns], names=list(types))
        both = pa.concat_tables([best, pa.Table.from_batches([numbered])])
        order = [("signed_distance", "descending"), ("row", "ascending")]
        best = both.sort_by(order).slice(0, top).combine_chunks()
    return pa.RecordBatch.from_arrays(
        [column.combine_chunks() for column in best.columns], names=list(types)
    )


def _print_rows(batch: pa.RecordBatch) -> None:
    table = Table(*(escape(printable(name)) for name in batch.schema.names))
    for record in batch.to_pylist():
        cells = (f"{cell:.4g}" if isinstance(cell, float) else cell for cell in record.values())
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Terminal().print(table)
