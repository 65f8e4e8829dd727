"""Time series as tables: each row with what came before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.encoding.cells import floats, is_text, to_numbers, to_texts
from compactflow.encoding.frames import as_arrow, as_frame, library_of

__all__ = ["windows"]

Array = NDArray[np.float64]


def windows(X: Any, size: int, *, by: str | None = None) -> Any:  # noqa: ANN401
    """Put beside each row what came before it, so that a detector sees the course of things.

    Of each column of numbers there are the values 1, 2, 4, ... rows before, fewer than `size`; the
    change from the row before; and mean and standard deviation of the `size` rows that end with
    the row. Where a series has not begun there is a gap. All other columns stay as they are: a
    date's cycles are features of it anyway.

    Each row of the result belongs to the row of `X` in its place, and so does its score.

    Args:
        X: Rows in the order of time, at even steps: a table of pandas, polars or Arrow.
        size: The rows of a window, at least 2.
        by: The column that tells whose rows they are, such as a machine: each has a series of its
            own. It is left out of the result.

    Returns:
        A table of the same kind, with as many rows.

    Raises:
        TypeError: If `X` is no table.
        ValueError: If `size` is below 2, or there is no such column.

    Examples:
        >>> import pyarrow as pa
        >>> table = pa.table({"pump": ["a", "b", "a", "a"], "heat": [1.0, 9.0, 3.0, 7.0]})
        >>> seen = windows(table, 2, by="pump")
        >>> seen.column_names
        ['heat', 'heat 1 before', 'heat change', 'heat mean of 2', 'heat spread of 2']
        >>> seen["heat change"].to_pylist()
        [nan, nan, 2.0, 4.0]
    """
    library = library_of(X)
    if library is None:
        raise TypeError(
            "windows takes a table of pandas, polars or Arrow, whose columns have names"
        )
    if size < 2:
        raise ValueError(f"size is the number of rows of a window, at least 2, got {size}")
    table = as_arrow(X).combine_chunks()
    if by is not None and by not in table.column_names:
        raise ValueError(f"by={by!r} is no column of the table")
    before = _before(table, by, size)
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = pa.concat_arrays(table[name].chunks)
        if name == by:
            continue
        columns[name] = column
        numbers = _numbers(column)
        if numbers is not None:
            columns |= _course(name, numbers, before)
    return as_frame(pa.table(columns), library)


def _before(table: pa.Table, by: str | None, size: int) -> NDArray[np.int64]:
    """Where the rows 0, 1, ... before each row are, ``(size, N)``; N where there is none."""
    rows = len(table)
    series = np.zeros(rows, dtype=np.int64)
    if by is not None:
        texts = np.array(to_texts(pa.concat_arrays(table[by].chunks)).fill_null("").to_pylist())
        series = np.unique(texts, return_inverse=True)[1]
    order = np.argsort(series, kind="stable")
    previous = np.full(rows + 1, rows)
    follows = series[order[1:]] == series[order[:-1]]
    previous[order[1:][follows]] = order[:-1][follows]
    before = [np.arange(rows)]
    for _ in range(size - 1):
        before.append(previous[before[-1]])
    return np.array(before)


def _numbers(column: pa.Array) -> Array | None:
    """The values of a column of numbers, ``(N,)``."""
    numbers = to_numbers(column)
    known = to_texts(column).null_count if is_text(column.type) else column.null_count
    kind = pa.types.is_boolean(column.type) or numbers.null_count == len(numbers)
    return None if kind or numbers.null_count > known else floats(numbers)


def _course(name: str, numbers: Array, before: NDArray[np.int64]) -> dict[str, Array]:
    size = len(before)
    values = np.append(numbers, np.nan)[before]
    lags = [2**k for k in range(size.bit_length()) if 2**k < size]
    return {
        **{f"{name} {lag} before": values[lag] for lag in lags},
        f"{name} change": values[0] - values[1],
        f"{name} mean of {size}": values.mean(axis=0),
        f"{name} spread of {size}": values.std(axis=0),
    }
