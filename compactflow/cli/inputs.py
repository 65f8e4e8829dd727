"""Models and tables that commands open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compactflow.cli.labels import Labels
from compactflow.terminal import progress

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from compactflow.detector.estimator import OneClassFlow
    from compactflow.detector.screening import Ranges, Watch
    from compactflow.encoding.encoder import TableEncoder
    from compactflow.tables import Dialect

__all__ = [
    "Rows",
    "Training",
    "check_kept",
    "columns_of",
    "in_file",
    "open_model",
    "read_rows",
    "read_training",
]


def open_model(model: Path, device: str) -> OneClassFlow:
    """Load a model that was fitted on named columns.

    Raises:
        ValueError: If it is unfit; the message says why.
        OSError: If it cannot be read.
    """
    from compactflow.detector.loading import load

    detector = load(model, device=device)
    if not hasattr(detector, "feature_names_in_"):
        raise ValueError(
            f"{model} was fitted on an array without column names, so columns cannot be matched; "
            "fit it on a table or a data frame, or score in Python"
        )
    return detector


def columns_of(detector: OneClassFlow) -> tuple[list[str], Ranges | None]:
    """The columns that a detector was fitted on, and their ranges."""
    return [str(name) for name in detector.feature_names_in_], detector.ranges_


def check_kept(keep: Sequence[str] | None, taken: Iterable[str]) -> list[str]:
    """The columns to keep, once each.

    Raises:
        ValueError: If one has the name of a column of the output.
    """
    kept = list(dict.fromkeys(keep or ()))
    clash = [name for name in kept if name in taken]
    if clash:
        raise ValueError(
            f"--keep {clash[0]!r} has the name of a column of the output; rename it in the table"
        )
    return kept


class Rows(NamedTuple):
    """Some rows of a table.

    Attributes:
        X: The features, ``(N, D)``.
        table: The columns of the features as they came, if they took an encoder.
        labels: The label of each row, ``(N,)``, if there is one.
        kept: The columns to keep.
        order: All rows in the order of time, if they are seen with their past.
        apart: Those of them that share no window, likewise.
    """

    X: NDArray[np.float64]
    table: pa.Table | None
    labels: NDArray[np.float64] | None
    kept: pa.RecordBatch
    order: NDArray[np.int64] | None = None
    apart: NDArray[np.int64] | None = None


def read_rows(
    path: Path,
    names: Sequence[str],
    ranges: Ranges | None,
    title: str,
    *,
    encoder: TableEncoder | None,
    labels: Labels | None = None,
    keep: Sequence[str] = (),
    dialect: Dialect,
    show: bool,
    quiet: bool,
) -> Iterator[Rows]:
    """Read the columns that a model was fitted on, in batches, with a progress bar to `show`.

    Where rows are seen with those before them, the table is read as a whole.

    Args:
        path: The table.
        names: The columns.
        ranges: Theirs in training, if known.
        title: What is being done.
        encoder: What makes features of the columns; ``None`` if they are numbers.
        labels: A column of labels.
        keep: Columns to carry along.
        dialect: How the table is spelled.
        show: Whether to show progress.
        quiet: Whether to say nothing of ranges.

    Raises:
        ValueError: As `compactflow.tables.read_batches`.
        OSError: Likewise.

    Warns:
        compactflow.detector.screening.OutOfRangeWarning: In the end, if most rows are outside the
            range that a column had in training.
    """
    from compactflow import tables

    features = list(names)
    columns, cells = (features, []) if encoder is None else ([], features)
    if labels is None:
        batches = tables.read_batches(path, columns, cells=cells, keep=keep, dialect=dialect)
    else:
        if labels.outliers:
            keep = [labels.column, *keep]
        else:
            columns = [labels.column, *columns]
        batches = tables.read_batches(path, columns, cells=cells, keep=keep, dialect=dialect)
        batches = _labelled(batches, labels, len(features))
    total = tables.count_rows(path, dialect) if show else None
    titles = features if encoder is None else encoder.titles
    watch = None if quiet or ranges is None else ranges.watch(titles)
    bar = progress(title, total, show=show)
    return _watched(batches, str(path), encoder, watch, labels is not None, len(features), bar)


def _watched(
    batches: Iterable[pa.RecordBatch],
    path: str,
    encoder: TableEncoder | None,
    watch: Watch | None,
    labelled: bool,
    features: int,
    bar: AbstractContextManager[Callable[[int], None]],
) -> Iterator[Rows]:
    import numpy as np
    import pyarrow as pa

    done, end = 0, labelled + features
    if encoder is not None and encoder.windows is not None:  # which are of the table as a whole
        batches = pa.Table.from_batches(list(batches)).combine_chunks().to_batches()
    with bar as reach:
        for batch in filter(len, batches):
            labels = batch.column(0).to_numpy() if labelled else None
            order = apart = None
            if encoder is None:
                table = None
                X = np.column_stack([each.to_numpy() for each in batch.columns[labelled:end]])
                amounts = X
            else:
                raw = pa.Table.from_batches([batch.select(range(labelled, end))])
                with in_file(path, done):
                    table = encoder.prepare(raw)
                    if encoder.windows is not None:
                        order = encoder.windows.order(raw)
                        apart = encoder.windows.apart(raw)
                    codes = encoder.codes(table)
                X, amounts = encoder.features(codes), encoder.amounts(codes)
            if watch is not None:
                watch.add(amounts)
            kept = batch.select(range(end, batch.num_columns))
            yield Rows(X, table, labels, kept, order, apart)
            done += len(batch)
            reach(done)
    if watch is not None:
        watch.warn()


class Training(NamedTuple):
    """A table to train on.

    Attributes:
        table: The columns of the features: of numbers, if it has nothing else and no cells are
            wanted.
        outlier: Which rows a column of labels calls outliers, ``(N,)``.
        weights: How much each row counts, ``(N,)``, if a column says so.
    """

    table: pa.Table
    outlier: NDArray[np.bool_]
    weights: NDArray[np.float64] | None


def read_training(
    path: Path,
    drop: Sequence[str],
    labels: Labels | None,
    weight: str | None,
    dialect: Dialect,
    *,
    cells: bool,
    most: int,
    seed: int,
) -> Training:
    """Read a training table; of more than `most` rows so many are drawn.

    Raises:
        ValueError: As `compactflow.tables.read_table`, or if labels or weights are none.
        OSError: If the table cannot be read.
    """
    import numpy as np

    from compactflow import tables
    from compactflow.detector.weights import check_weights
    from compactflow.encoding.inference import FEWEST_ROWS

    own = [*([] if labels is None else [labels.column]), *([] if weight is None else [weight])]
    how: dict[str, Any] = {
        "without": list(dict.fromkeys([*drop, *own])),
        "dialect": dialect,
        "most": most,
        "seed": seed,
    }
    try:
        table = tables.read_table(path, **how)
        if cells:
            table = tables.read_cells(path, **how)
    except tables.CellError:
        table = tables.read_cells(path, **how)
        if len(table) < FEWEST_ROWS:  # too few to say what the column is
            raise

    def drawn(numbers: Sequence[str], words: Sequence[str] = ()) -> list[pa.RecordBatch]:
        batches = tables.read_batches(path, numbers, keep=words, dialect=dialect)
        return tables.sample(batches, most, seed)[0]  # the same rows

    if len(table) < 2:
        rows = f"{len(table)} sample{'s' * (len(table) != 1)}"
        raise ValueError(f"{path} has {rows}, and training takes a minimum of 2 rows, better 100s")
    outlier, weights = np.zeros(len(table), dtype=bool), None
    if labels is not None:
        with labels.explaining():
            column = [labels.column]
            outlier = labels.read(path, drawn([], column) if labels.outliers else drawn(column))
    if weight is not None:
        parts = [np.empty(0), *(batch.column(0).to_numpy() for batch in drawn([weight]))]
        name = f"{path}: the column {weight!r}"
        weights = check_weights(np.concatenate(parts), len(table), name)
    return Training(table, outlier, weights)


def _labelled(
    batches: Iterator[pa.RecordBatch], labels: Labels, place: int
) -> Iterator[pa.RecordBatch]:
    """The batches with the labels first, as numbers.

    Args:
        batches: With them there already, or at a place if they are other values.
        labels: The column.
        place: The place.
    """
    import pyarrow as pa

    with labels.explaining():
        if not labels.outliers:
            yield from batches
            return
        row = 1
        for batch in batches:
            rest = batch.select([n for n in range(batch.num_columns) if n != place])
            columns = [labels.mark(batch.column(place), row), *rest.columns]
            names = [labels.column, *rest.schema.names]
            yield pa.RecordBatch.from_arrays(columns, names=names)
            row += len(batch)


@contextmanager
def in_file(path: str, rows: int = 0) -> Iterator[None]:
    """Name the file, and count the rows before, in errors of single cells."""
    from compactflow.encoding.parts import UnfitCellError
    from compactflow.tables import TableError

    try:
        yield
    except UnfitCellError as error:
        raise TableError(f"{path}: {error.after(rows)}") from error
