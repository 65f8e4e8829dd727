"""Tables written in batches; in text, no cell is a formula to a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from compactflow.tables.dialect import NUMBER, TableError
from compactflow.tables.formats import COMPRESSIONS

__all__ = ["check_output", "defuse", "write"]

# What makes spreadsheets take a cell for a formula, in their full widths too; and the apostrophe,
# so that the one put before can be told from one that was there.
_FORMULA = "^['=+@\t\r\n＝＋－＠-]"


def check_output(path: Path) -> None:
    """Check that the suffix names a format that can be written, in either case.

    Raises:
        TableError: If it does not.
    """
    _format(path)


def write(
    path: Path, types: Mapping[str, str | pa.DataType], batches: Iterable[pa.RecordBatch]
) -> None:
    """Write batches as a table, in the format that the suffix names.

    In text formats a cell or name that a spreadsheet could take for a formula, as it begins with
    ``=``, ``+``, ``-``, ``@``, a tab or a line break and is no number, gets an apostrophe before
    it, and so does one that begins with an apostrophe: take the first apostrophe of a cell away,
    and you have the text as it was.

    Args:
        path: The file; a suffix of compression may follow that of a text format.
        types: Name and Arrow type of each column.
        batches: The rows, with these columns; there may be none.

    Raises:
        TableError: If the suffix names no format, or the format cannot hold a column's type.
    """
    suffix, compression = _format(path)
    with (
        pa.output_stream(str(path), compression=compression) as file,
        _WRITERS[suffix](path, file, pa.schema(types)) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _format(path: Path) -> tuple[str, str | None]:
    """The suffix that names a file's format, and how it is compressed."""
    suffix = path.suffix.lower()
    compression = COMPRESSIONS.get(suffix)
    if compression is not None:
        suffix = Path(path.stem).suffix.lower()
    if suffix not in _WRITERS or (compression is not None and suffix not in _TEXT):
        raise TableError(
            f"{path}: the name must end in {' or '.join(_WRITERS)}, which says the format; "
            f"{', '.join(COMPRESSIONS)} may follow a text format"
        )
    return suffix, compression


@final
class _TextWriter:
    """Writes batches as delimited text."""

    def __init__(self, path: Path, file: pa.NativeFile, schema: pa.Schema, delimiter: str) -> None:
        names = _defuse(pa.array(schema.names, pa.string())).to_pylist()
        for name, type_ in zip(schema.names, schema.types, strict=True):
            if pa.types.is_nested(type_):
                raise TableError(
                    f"{path}: column {name!r} holds {type_}, which text cannot; write .parquet"
                )
        plain = [pa.string() if _is_texty(type_) else type_ for type_ in schema.types]
        self._schema = pa.schema(list(zip(names, plain, strict=True)))
        options = pcsv.WriteOptions(delimiter=delimiter)
        self._writer = pcsv.CSVWriter(file, self._schema, write_options=options)

    def __enter__(self) -> _TextWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        columns = [
            _defuse(column.cast(type_)) if pa.types.is_string(type_) else column
            for column, type_ in zip(batch.columns, self._schema.types, strict=True)
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))


def _is_texty(type_: pa.DataType) -> bool:
    """Whether values are written as text that may be a formula."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_temporal)
    return not any(is_kind(type_) for is_kind in kinds)


def defuse(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: see `write`; what is no text stays."""
    return _defuse(pa.array([cell], pa.string()))[0].as_py() if isinstance(cell, str) else cell


def _defuse(text: pa.StringArray) -> pa.StringArray:
    safe = pc.or_(
        pc.match_substring_regex(text, f"^{NUMBER}$"),
        pc.invert(pc.match_substring_regex(text, _FORMULA)),
    )
    return pc.if_else(safe, text, pc.binary_join_element_wise("'", text, ""))


_TEXT = (".csv", ".tsv")
_Writer: TypeAlias = Callable[[Path, pa.NativeFile, pa.Schema], Any]
_WRITERS: Mapping[str, _Writer] = {
    ".csv": lambda path, file, schema: _TextWriter(path, file, schema, ","),
    ".parquet": lambda path, file, schema: pq.ParquetWriter(file, schema),
    ".arrow": lambda path, file, schema: pa.ipc.new_file(file, schema),
    ".feather": lambda path, file, schema: pa.ipc.new_file(file, schema),
    ".tsv": lambda path, file, schema: _TextWriter(path, file, schema, "\t"),
}
