"""Models and tables that commands open."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compactflow.terminal import progress

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from compactflow.detector.estimator import OneClassFlow
    from compactflow.detector.screening import Ranges
    from compactflow.tables import Dialect

_LABELS = (
    "--label takes 1 or true for outliers and 0 or false for others, or -1 for outliers and 1 for "
    "others"
)

__all__ = [
    "Rows",
    "check_kept",
    "columns_of",
    "find_outliers",
    "open_model",
    "read_inliers",
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
        labels: The label of each row, ``(N,)``, if there is one.
        kept: The columns to keep.
    """

    X: NDArray[np.float64]
    labels: NDArray[np.float64] | None
    kept: pa.RecordBatch


def read_rows(
    path: Path,
    names: Sequence[str],
    ranges: Ranges | None,
    title: str,
    *,
    label: str | None = None,
    keep: Sequence[str] = (),
    dialect: Dialect,
    show: bool,
    quiet: bool,
) -> Iterator[Rows]:
    """Read the columns that a model was fitted on, in batches, with a progress bar to `show`.

    Args:
        path: The table.
        names: The columns.
        ranges: Theirs in training, if known.
        title: What is being done.
        label: A column of labels.
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

    names = list(names)
    columns = names if label is None else [*names, label]
    batches = tables.read_batches(path, columns, keep=keep, dialect=dialect)
    total = tables.count_rows(path, dialect) if show else None
    if label is not None:
        batches = _labelled(batches, label)
    return _watched(
        batches, None if quiet else ranges, names, len(columns), progress(title, total, show=show)
    )


def _watched(
    batches: Iterable[pa.RecordBatch],
    ranges: Ranges | None,
    names: Sequence[str],
    numbers: int,
    bar: AbstractContextManager[Callable[[int], None]],
) -> Iterator[Rows]:
    import numpy as np

    watch = ranges.watch(names) if ranges is not None else None
    done, features = 0, len(names)
    with bar as reach:
        for batch in filter(len, batches):
            X = np.column_stack([column.to_numpy() for column in batch.columns[:features]])
            if watch is not None:
                watch.add(X)
            labels = batch.column(features).to_numpy() if numbers > features else None
            yield Rows(X, labels, batch.select(range(numbers, batch.num_columns)))
            done += len(batch)
            reach(done)
    if watch is not None:
        watch.warn()


def read_inliers(
    path: Path, drop: Sequence[str], label: str | None, dialect: Dialect
) -> tuple[pa.Table, int]:
    """Read a training table without the rows that a column calls outliers.

    Returns:
        The table, and how many rows were left out.

    Raises:
        ValueError: As `compactflow.tables.read_table`, or if the label cannot be understood.
        OSError: If the table cannot be read.
    """
    import numpy as np

    from compactflow import tables

    if label is None:
        return tables.read_table(path, without=drop, dialect=dialect), 0
    table = tables.read_table(path, without=[*drop, label], dialect=dialect)
    with _explaining(label):
        batches = tables.read_batches(path, [label], dialect=dialect)
        values = [np.empty(0), *(batch.column(0).to_numpy() for batch in batches)]
    outlier = find_outliers(np.concatenate(values), f"{path}: column {label!r}")
    return table.filter(~outlier), int(outlier.sum())


def find_outliers(labels: NDArray[np.float64], name: str) -> NDArray[np.bool_]:
    """Which labels say outlier: 1 among 0 and 1, or -1 among -1 and 1, as in scikit-learn.

    Raises:
        ValueError: If there are others.
    """
    import numpy as np

    found = np.unique(labels)
    for outlier, inlier in ((1.0, 0.0), (-1.0, 1.0)):
        if np.isin(found, [outlier, inlier]).all():
            return labels == outlier
    shown = ", ".join(f"{value:g}" for value in found[:5])
    raise ValueError(f"{name} holds {shown}; {_LABELS}")


def _labelled(batches: Iterator[pa.RecordBatch], label: str) -> Iterator[pa.RecordBatch]:
    with _explaining(label):
        yield from batches


@contextmanager
def _explaining(label: str) -> Iterator[None]:
    """Say what labels are, if an error names theirs among the unfit columns."""
    from compactflow.tables import TableError

    try:
        yield
    except TableError as error:
        hint = f"; {_LABELS}" if f"column {label!r}" in str(error) else ""
        raise TableError(f"{error}{hint}") from error
