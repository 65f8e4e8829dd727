"""Tables of numbers on disk (CSV, Parquet, Arrow), read and written in bounded batches."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

__all__ = ["TableError", "check_format", "column_names", "read_batches", "read_table", "write"]

_T = TypeVar("_T")

_BLOCK_BYTES = 8 << 20  # of CSV read at a time; a row must fit
_BATCH_ROWS = 8192  # of Parquet or Arrow read at a time


class TableError(ValueError):
    """A file is not a table of numbers, or lacks a column."""


def check_format(path: Path) -> None:
    """Check that the suffix names a format: .csv, .parquet, .arrow or .feather, in either case.

    Raises:
        TableError: If it does not.
    """
    _of_format(path, _READERS)


def column_names(path: Path) -> list[str]:
    """The names of a table's columns, in the file's order.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: If the file is empty or damaged, or its suffix names no format.
    """
    names_of, _ = _of_format(path, _READERS)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    with _reading(path):
        return names_of(path)


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Read some columns of a table as float64, without holding the table in memory.

    Args:
        path: The table. In CSV the first line holds the names; blanks around a number are fine.
        columns: The names of the columns to read; the others may hold anything.

    Returns:
        Batches with these columns in this order and every row of the table, all values finite.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: If a column is missing or not unique, or, while the batches are drawn, if a
            value is not a finite number; the message names column and row (the first is 1).
    """
    names = column_names(path)
    _check_present(path, columns, names)
    repeated = [name for name in columns if names.count(name) > 1]
    if repeated:
        raise TableError(f"{path} has several columns named {repeated[0]!r}; rename them")
    return _batches(path, columns)


def read_table(path: Path, *, without: Sequence[str] = ()) -> pa.Table:
    """Read a table as float64, all columns but those in `without`.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: If a column has no name or is not unique, if one to leave out is missing, if
            none is left, or if a value is not a finite number.
    """
    names = column_names(path)
    _check_present(path, without, names)
    kept = [name for name in names if name not in without]
    if "" in kept:
        raise TableError(
            f"{path}: column {names.index('') + 1} has no name; give it one, or leave it out if "
            "it is an index"
        )
    if not kept:
        raise TableError(f"{path} has no column left")
    schema = pa.schema([(name, pa.float64()) for name in kept])
    return pa.Table.from_batches(read_batches(path, kept), schema)


def write(path: Path, types: Mapping[str, str], batches: Iterable[pa.RecordBatch]) -> None:
    """Write batches as a table, in the format that the suffix names.

    Args:
        path: The file.
        types: Name and Arrow type of each column.
        batches: The rows, with these columns; there may be none.

    Raises:
        TableError: If the suffix names no format.
    """
    with _of_format(path, _WRITERS)(path, pa.schema(types)) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _check_present(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in columns if name not in names]
    if missing:
        raise TableError(
            f"{path} has no column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}; it "
            f"has {reprlib.repr(list(names))}"
        )


def _of_format(path: Path, choices: Mapping[str, _T]) -> _T:
    try:
        return choices[path.suffix.lower()]
    except KeyError:
        raise TableError(
            f"{path}: the name must end in {' or '.join(choices)}, which says the format"
        ) from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in Arrow's errors."""
    try:
        yield
    except pa.ArrowException as error:
        raise TableError(f"{path} cannot be read: {error}") from error


def _batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    _, batches_of = _of_format(path, _READERS)
    row = 1
    with _reading(path):
        for batch in batches_of(path, columns):
            arrays = [_numbers(batch.column(name), path, name, row) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))
            row += batch.num_rows


def _numbers(column: pa.Array, path: Path, name: str, first_row: int) -> pa.DoubleArray:
    """Convert a column to finite float64, or say which of its values is none."""
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
    try:
        numbers = column.cast(pa.float64(), safe=False)
    except pa.ArrowNotImplementedError:
        raise TableError(
            f"{path}: column {name!r} holds {column.type}, not numbers; convert the column or "
            "leave it out"
        ) from None
    except pa.ArrowInvalid:
        numbers = pa.array([_number(value) for value in column.to_pylist()], pa.float64())
    finite = pc.fill_null(pc.is_finite(numbers), False)
    bad = pc.index(finite, False).as_py()
    if bad >= 0:
        value = column[bad].as_py()
        found = "is empty" if value in (None, "") else f"is {reprlib.repr(value)}"
        raise TableError(
            f"{path}: column {name!r}, row {first_row + bad} {found}, not a finite number; fill "
            "it in, or leave out the row or the column"
        )
    return numbers


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _csv_reader(
    path: Path, columns: Sequence[str] | None = None, *, blank_lines: bool = False
) -> pcsv.CSVStreamingReader:
    """Open a CSV file; with `columns`, for these alone and as text.

    A type guessed from the first block can be wrong for a later one, so text it is.
    """
    return pcsv.open_csv(
        path,
        # Only without threads do Arrow's messages number the rows.
        read_options=pcsv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        parse_options=pcsv.ParseOptions(ignore_empty_lines=not blank_lines),
        convert_options=pcsv.ConvertOptions(
            column_types=dict.fromkeys(columns or (), pa.string()), include_columns=columns
        ),
    )


def _csv_names(path: Path) -> list[str]:
    with _csv_reader(path) as reader:
        return list(reader.schema.names)


def _csv_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    # In a table of one column a blank line is an empty cell, and no row may be skipped.
    with _csv_reader(path, columns, blank_lines=len(_csv_names(path)) == 1) as reader:
        yield from reader


def _parquet_names(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def _parquet_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_BATCH_ROWS, columns=list(columns))


@contextmanager
def _arrow_reader(path: Path) -> Iterator[pa.RecordBatchFileReader]:
    """Open a file of Arrow's IPC format, which is also version 2 of Feather."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        yield reader


def _arrow_names(path: Path) -> list[str]:
    with _arrow_reader(path) as reader:
        return list(reader.schema.names)


def _arrow_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with _arrow_reader(path) as reader:
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number).select(list(columns))
            for start in range(0, len(batch), _BATCH_ROWS):
                yield batch.slice(start, _BATCH_ROWS)


def _arrow_writer(path: Path, schema: pa.Schema) -> pa.RecordBatchFileWriter:
    return pa.ipc.new_file(str(path), schema)


_READERS = {
    ".csv": (_csv_names, _csv_batches),
    ".parquet": (_parquet_names, _parquet_batches),
    ".arrow": (_arrow_names, _arrow_batches),
    ".feather": (_arrow_names, _arrow_batches),
}
_WRITERS = {
    ".csv": pcsv.CSVWriter,
    ".parquet": pq.ParquetWriter,
    ".arrow": _arrow_writer,
    ".feather": _arrow_writer,
}
