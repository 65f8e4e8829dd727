"""Models and tables that commands open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compactflow.cli.labels import Labels
from compactflow.terminal import progress

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from compactflow.detector.estimator import OneClassFlow
    from compactflow.detector.screening import Ranges, Watch
    from compactflow.encoding.encoder import TableEncoder
    from compactflow.encoding.windows import Windows
    from compactflow.tables import Dialect

__all__ = [
    "Rows",
    "check_kept",
    "columns_of",
    "in_file",
    "open_model",
    "read_rows",
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
        order: The rows that the command wants, in the order of time, if they are seen with their
            past.
    """

    X: NDArray[np.float64]
    table: pa.Table | None
    labels: NDArray[np.float64] | None
    kept: pa.RecordBatch
    order: NDArray[np.int64] | None = None

    @property
    def sequence(self) -> NDArray[np.int64]:
        """The rows one after another: by `order`, or all as they came."""
        import numpy as np

        return np.arange(len(self.X)) if self.order is None else self.order


def read_rows(
    path: Path,
    names: Sequence[str],
    ranges: Ranges | None,
    title: str,
    *,
    encoder: TableEncoder | None,
    labels: Labels | None = None,
    keep: Sequence[str] = (),
    order: Callable[[Windows, pa.Table], NDArray[np.int64]] | None = None,
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
        order: Which rows of a table are wanted and when, if they are seen with those before them.
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
    return _watched(
        batches, str(path), encoder, order, watch, labels is not None, len(features), bar
    )


def _watched(
    batches: Iterable[pa.RecordBatch],
    path: str,
    encoder: TableEncoder | None,
    order: Callable[[Windows, pa.Table], NDArray[np.int64]] | None,
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
            wanted = None
            if encoder is None:
                table = None
                X = np.column_stack([each.to_numpy() for each in batch.columns[labelled:end]])
                amounts = X
            else:
                raw = pa.Table.from_batches([batch.select(range(labelled, end))])
                with in_file(path, done):
                    table = encoder.prepare(raw)
                    if encoder.windows is not None and order is not None:
                        wanted = order(encoder.windows, raw)
                    codes = encoder.codes(table)
                X, amounts = encoder.features(codes), encoder.amounts(codes)
            if watch is not None:
                watch.add(amounts)
            kept = batch.select(range(end, batch.num_columns))
            yield Rows(X, table, labels, kept, wanted)
            done += len(batch)
            reach(done)
    if watch is not None:
        watch.warn()


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
