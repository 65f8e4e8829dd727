"""Tables read in bounded batches, and checked to be numbers on the way."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from compactflow.tables.cells import Fault, describe, to_numbers, with_point
from compactflow.tables.dialect import CellError, Dialect, TableError
from compactflow.tables.formats import Format, open_table
from compactflow.tables.names import check_columns, check_present
from compactflow.tables.sampling import draw
from compactflow.text import Note

__all__ = [
    "check_format",
    "column_names",
    "column_types",
    "count_rows",
    "read_batches",
    "read_cells",
    "read_table",
]

_FOUND = Dialect()


def check_format(path: Path) -> None:
    """Check that the suffix names a format that can be read, in either case.

    Raises:
        TableError: If it does not.
    """
    open_table(path, _FOUND)


def column_names(path: Path, dialect: Dialect = _FOUND) -> list[str]:
    """The names of a table's columns, in the file's order.

    Args:
        path: The table.
        dialect: How it is spelled, if it is text.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: If the file is empty or damaged, or its suffix names no format.
    """
    return _open(path, dialect)[1]


def column_types(
    path: Path, columns: Sequence[str], dialect: Dialect = _FOUND
) -> dict[str, pa.DataType]:
    """The Arrow types in which `read_batches` keeps columns.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: As `read_batches`.
    """
    table, names = _open(path, dialect)
    check_columns(path, columns, names)
    return table.types(columns)


def count_rows(path: Path, dialect: Dialect = _FOUND) -> int | None:
    """The number of a table's rows, of text about; ``None`` if that cannot be known soon.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: As `column_names`.
    """
    table, _ = _open(path, dialect)
    with _reading(path):
        return table.rows()


def read_batches(
    path: Path,
    columns: Sequence[str],
    *,
    cells: Sequence[str] = (),
    keep: Sequence[str] = (),
    dialect: Dialect = _FOUND,
) -> Iterator[pa.RecordBatch]:
    """Read some columns of a table as float64, without holding the table in memory.

    Args:
        path: The table. Blanks around a number are fine; true and false are 1 and 0.
        columns: The names of the columns to read; the others may hold anything.
        cells: The names of columns that follow them, whatever they hold: of text, numbers have a
            decimal point.
        keep: The names of columns that follow those as they are.
        dialect: How the table is spelled, if it is text. What is found is told by a `Note`.

    Returns:
        Batches with these columns in this order and every row of the table, all values of the
        first kind finite.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: If a column is missing or not unique, or, while the batches are drawn, if a
            value is not a finite number; the message names all such columns, with the first row
            of each (the first is 1).
    """
    table, names = _open(path, dialect)
    check_columns(path, [*columns, *cells, *keep], names)
    _tell(path, table.notes)
    return _batches(table, columns, cells, keep, drop=False)


def read_table(
    path: Path,
    *,
    without: Sequence[str] = (),
    dialect: Dialect = _FOUND,
    most: int = sys.maxsize,
    seed: int = 0,
) -> pa.Table:
    """Read a table as float64, all columns but those in `without` and the index of pandas.

    Args:
        path: The table.
        without: Columns to leave out.
        dialect: How it is spelled, if it is text.
        most: Rows to keep at most; if there are more, they are drawn: see
            `compactflow.tables.sampling.sample`. Memory does not grow with the others.
        seed: Of the draw.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: If a column has no name or is not unique, if one to leave out is missing, or
            if none is left.
        CellError: If a value is not a finite number.
    """
    table, kept = _choose(path, without, dialect)
    schema = pa.schema([(name, pa.float64()) for name in kept])
    return draw(path, _batches(table, kept, (), (), drop=True), schema, most, seed)


def read_cells(
    path: Path,
    *,
    without: Sequence[str] = (),
    dialect: Dialect = _FOUND,
    most: int = sys.maxsize,
    seed: int = 0,
) -> pa.Table:
    """Read a table as it is, all columns but those in `without` and the index of pandas.

    Of text all columns are text, in which numbers have a decimal point. The arguments are those of
    `read_table`.

    Raises:
        FileNotFoundError: If there is no such file.
        TableError: As `read_table`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Note)  # this is the second look at the file
        table, kept = _choose(path, without, dialect)
    batches = _batches(table, (), kept, (), drop=True)
    return draw(path, batches, pa.schema(table.types(kept)), most, seed)


def _choose(path: Path, without: Sequence[str], dialect: Dialect) -> tuple[Format, list[str]]:
    """The table, and its columns but some."""
    table, names = _open(path, dialect)
    check_present(path, without, names)
    index = [name for name in table.index if name in names and name not in without]
    left_out = {*without, *index}
    kept = [name for name in names if name not in left_out]
    if not kept:
        raise TableError(f"{path} has no column left")
    named = [name for name in kept if name]
    check_columns(path, named, names)
    out = [f"the index {', '.join(map(repr, index))} is left out"] if index else []
    if named != kept:
        if not _is_empty(table):
            _refuse_unnamed(table, named)
        out.append(f"column {names.index('') + 1} has neither name nor values, and is left out")
    _tell(path, table.notes + out)
    return table, named


def _is_empty(table: Format) -> bool:
    """Whether the column without a name has no values, as behind a comma at the end of lines."""
    if table.names.count("") > 1:
        return False
    parts = (batch.column(0) for batch in _batches(table, (), [""], (), drop=True))
    blank = (pc.utf8_trim_whitespace(part.cast(pa.large_string())) for part in parts)
    return all(
        pc.all(pc.fill_null(pc.equal(text, ""), True)).as_py() is not False for text in blank
    )


def _refuse_unnamed(table: Format, named: Sequence[str]) -> NoReturn:
    """Say that a column has no name, and what is wrong with those that have one."""
    place = table.names.index("") + 1
    unnamed = f"column {place} has no name; give it one, or leave it out with --drop ''"
    try:
        for _ in _batches(table, named, (), (), drop=True):
            pass
    except TableError as error:
        raise TableError(f"{error}; and {unnamed}") from error
    raise TableError(f"{table.path}: {unnamed}")


def _open(path: Path, dialect: Dialect) -> tuple[Format, list[str]]:
    table = open_table(path, dialect)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    with _reading(path):
        return table, table.names


def _tell(path: Path, notes: Sequence[str]) -> None:
    for note in notes:
        warnings.warn(f"{path}: {note}", Note, stacklevel=3)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in errors of reading it."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError, OverflowError) as error:
        raise TableError(f"{path} cannot be read: {error}{_advice(error)}") from error
    except TableError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__


def _advice(error: Exception) -> str:
    text = str(error)
    if isinstance(error, UnicodeError) or "UTF8" in text:
        return "; --encoding says how its letters are written"
    if "Expected" in text and "columns" in text:
        return "; all lines must have as many cells, and --sep says what separates them"
    return ""


def _batches(
    table: Format,
    columns: Sequence[str],
    cells: Sequence[str],
    keep: Sequence[str],
    *,
    drop: bool,
) -> Iterator[pa.RecordBatch]:
    """The batches up to the first fault; then the rest is searched for others."""
    faults: dict[str, Fault] = {}
    row = 1
    with _reading(table.path):
        for batch in table.batches(list(dict.fromkeys([*columns, *cells, *keep]))):
            arrays = []
            found = dict(zip(batch.schema.names, batch.columns, strict=True))
            for name in columns:
                numbers, fault = to_numbers(found[name], row, table.decimal)
                arrays.append(numbers)
                if fault is not None:
                    known = faults.get(name)
                    faults[name] = known.and_more(fault.count) if known else fault
            if not faults:
                arrays += [with_point(found[name], table.decimal) for name in cells]
                arrays += [found[name] for name in keep]
                yield pa.RecordBatch.from_arrays(arrays, names=[*columns, *cells, *keep])
            row += batch.num_rows
        if faults:
            message = describe(faults, drop=drop, decimal=table.decimal)
            raise CellError(message + _advice_on_separator(table.names))


def _advice_on_separator(names: Sequence[str]) -> str:
    """What to do if the only column seems to be several."""
    inside = [sign for sign in ",;\t|" if len(names) == 1 and sign in names[0]]
    return f"; if {inside[0]!r} separates cells, give --sep {inside[0]!r}" if inside else ""
