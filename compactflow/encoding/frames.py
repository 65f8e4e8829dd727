"""Data frames of any library as Arrow tables, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from compactflow.tables.cells import describe, to_numbers

__all__ = ["as_arrow", "as_frame", "cells_of", "library_of", "naming_cells", "whole"]


def library_of(X: Any) -> str | None:  # noqa: ANN401
    """The library that a table is of, ``"pandas"``, ``"polars"`` or such; ``None`` of no table."""
    columns = getattr(X, "columns", None)
    if isinstance(X, pa.Table | pa.RecordBatch):
        return "pyarrow"
    if columns is None or not hasattr(X, "shape"):
        return None
    return type(X).__module__.partition(".")[0]


def as_arrow(X: Any) -> pa.Table:  # noqa: ANN401
    """A table as Arrow's, its columns named by strings; values of mixed types become text.

    Args:
        X: Of pandas, polars or Arrow, or with the interface ``__arrow_c_stream__``.

    Raises:
        TypeError: If it is no table.
        ValueError: If two columns have one name.
    """
    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
    elif library_of(X) == "pandas":
        columns = [_column(X.iloc[:, j]) for j in range(X.shape[1])]
        X = pa.table(columns, names=[str(name) for name in X.columns])
    table = X if isinstance(X, pa.Table) else pa.table(X)
    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the table has several columns named {twice!r}; rename them")
    return table


def _column(series: Any) -> pa.Array | pa.ChunkedArray:  # noqa: ANN401
    try:
        column = pa.Array.from_pandas(series)
        type_ = column.type
        values = type_.value_type if pa.types.is_dictionary(type_) else type_
        if not isinstance(values, pa.BaseExtensionType):  # as of intervals, periods, UUIDs
            return column
    except (pa.ArrowException, OverflowError):  # as of whole numbers beyond 64 bits
        pass
    gaps = series.isna()
    cells = [None if gap else str(v) for gap, v in zip(gaps, series, strict=True)]
    return pa.array(cells, pa.string())


def whole(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = table[name].combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def cells_of(table: pa.Table, name: str) -> pa.Array:
    """The cells of a column as one array, ``(N,)``, each with the value that it stands for."""
    column = whole(table, name)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


@contextmanager
def naming_cells(X: Any) -> Iterator[None]:  # noqa: ANN401
    """Where values are refused, say which cell of a table is no finite number, if one is not."""
    try:
        yield
    except ValueError:
        table = None if library_of(X) is None else as_arrow(X)
        for name in [] if table is None else table.column_names:
            _, fault = to_numbers(whole(table, name), 1, ".")
            if fault is not None:
                what = describe({name: fault}, drop=False, decimal=".")
                raise ValueError(f"X: {what}") from None
        raise


def as_frame(table: pa.Table, library: str) -> Any:  # noqa: ANN401
    """An Arrow table as that of a library, if this is pandas or polars; else as it is."""
    if library == "pandas":
        return table.to_pandas()
    if library == "polars":
        from polars import from_arrow  # type: ignore[import-not-found,unused-ignore]

        return from_arrow(table)
    return table
