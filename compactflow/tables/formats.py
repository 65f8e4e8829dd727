"""The formats of tables: delimited text, Parquet, and Arrow's, which is version 2 of Feather."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import final

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from compactflow.columns import pandas_index
from compactflow.tables.dialect import Dialect, Found, TableError

__all__ = ["COMPRESSIONS", "READ", "Format", "open_table"]

_BLOCK_BYTES = 8 << 20  # of text read at a time; a row must fit
_BATCH_ROWS = 8192  # of Parquet or Arrow read at a time
_HEAD_BYTES = 1 << 20  # of text looked at to find how it is spelled

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
# What files begin with that are not what their names say.
_MAGIC = {
    b"\x1f\x8b": ("gzip", ".gz"),
    b"BZh": ("bz2", ".bz2"),
    b"\x28\xb5\x2f\xfd": ("zstd", ".zst"),
    b"PK\x03\x04": (None, ".zip or .xlsx; save it as CSV"),
    b"\xd0\xcf\x11\xe0": (None, ".xls; save it as CSV"),
    b"PAR1": (None, ".parquet; rename it"),
    b"ARROW1": (None, ".arrow; rename it"),
    b"\xfd7zXZ": (None, ".xz; unpack it"),
}


class Format(ABC):
    """A table in a file.

    Attributes:
        path: The file.
        decimal: The decimal mark of numbers that are written out.
    """

    decimal = "."

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        self.dialect = dialect

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """The names of the columns, in the file's order."""

    @property
    def index(self) -> list[str]:
        """The names of the columns that are the index of a data frame, so no features."""
        return []

    @abstractmethod
    def rows(self) -> int | None:
        """The number of rows, of text about; ``None`` if that is not known."""

    @abstractmethod
    def types(self, columns: Sequence[str]) -> dict[str, pa.DataType]:
        """The types of some columns as `batches` gives them."""

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows of some columns, which the file has once each, in any order of columns."""

    @property
    def notes(self) -> list[str]:
        """What was found of how the table is spelled, where it is not the usual."""
        return []


@final
class DelimitedText(Format):
    """CSV and its like, compressed or not."""

    @property
    def names(self) -> list[str]:
        return self._found.names

    @property
    def decimal(self) -> str:  # type: ignore[override]
        return self._found.dialect.decimal or "."

    def rows(self) -> int | None:
        if self._compression or not self._found.bytes_per_row:
            return None
        return int(self.path.stat().st_size / self._found.bytes_per_row)

    def types(self, columns: Sequence[str]) -> dict[str, pa.DataType]:
        return dict.fromkeys(columns, pa.string())

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        dialect, names = self._found.dialect, self._found.names
        reader = pcsv.open_csv(
            self._stream(),
            # Only without threads do Arrow's messages number the rows.
            read_options=pcsv.ReadOptions(
                use_threads=False,
                block_size=_BLOCK_BYTES,
                encoding=dialect.encoding,
                column_names=None if dialect.header else names,
                skip_rows=self._found.skipped,
            ),
            parse_options=pcsv.ParseOptions(
                delimiter=dialect.separator,
                # In a table of one column a blank line is an empty cell, and no row may be lost.
                ignore_empty_lines=len(names) != 1,
                newlines_in_values=True,
            ),
            # As text, since a type guessed from the first block can be wrong for a later one.
            convert_options=pcsv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), include_columns=list(columns)
            ),
        )
        with reader:
            yield from reader

    @property
    def notes(self) -> list[str]:
        return self._found.notes

    @cached_property
    def _found(self) -> Found:
        with self._stream() as stream:
            head = stream.read(_HEAD_BYTES)
            if head.count(b"\n") < 3:  # of a wide table
                head += stream.read(_BLOCK_BYTES)
            whole = not stream.read(1)
        if not head.strip():
            raise TableError("cannot be read: it is empty")
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        return self.dialect.find(head, whole=whole, tabs=".tsv" in suffixes[-2:])

    @cached_property
    def _compression(self) -> str | None:
        with self.path.open("rb") as file:
            start = file.read(8)
        for magic, (compression, suffix) in _MAGIC.items():
            if start.startswith(magic):
                if compression is None:
                    raise TableError(f"cannot be read: it is no text but {suffix}")
                return compression
        return None

    def _stream(self) -> pa.NativeFile:
        return pa.input_stream(str(self.path), compression=self._compression)


class _Columnar(Format):
    """A format with a schema, in which pandas notes its index."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Names and types of the columns, and the metadata."""

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    @property
    def index(self) -> list[str]:
        return pandas_index(self.schema)

    def types(self, columns: Sequence[str]) -> dict[str, pa.DataType]:
        return {name: self.schema.field(name).type for name in columns}


@final
class Parquet(_Columnar):
    """Parquet, in constant memory."""

    @cached_property
    def schema(self) -> pa.Schema:
        return pq.read_schema(self.path)

    def rows(self) -> int | None:
        return int(pq.read_metadata(self.path).num_rows)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # Pre-buffering would keep all that has been read.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_HEAD_BYTES) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns)):
                batch.validate(full=True)  # indices into a dictionary are taken on trust
                yield batch


@final
class Arrow(_Columnar):
    """Arrow's file format. What is read is validated first, as Arrow itself trusts a file."""

    @cached_property
    def schema(self) -> pa.Schema:
        with _arrow_reader(self.path) as reader:
            return reader.schema

    def rows(self) -> int | None:
        return None

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        fields = [self.schema.get_field_index(name) for name in columns]
        most = 8 * self.path.stat().st_size * _MOST_PACKED
        with _arrow_reader(self.path, fields) as reader:
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                if batch.num_rows > most:
                    raise TableError(
                        f"cannot be read: it claims {batch.num_rows} rows, more than it can hold"
                    )
                batch.validate(full=True)
                for start in range(0, batch.num_rows, _BATCH_ROWS):
                    yield batch.slice(start, _BATCH_ROWS)


_MOST_PACKED = 1000  # a compressed buffer is at most about so many times longer unpacked


@contextmanager
def _arrow_reader(
    path: Path, fields: Sequence[int] | None = None
) -> Iterator[pa.RecordBatchFileReader]:
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    with (
        pa.memory_map(str(path)) as source,
        pa.ipc.open_file(source, options=options) as reader,
    ):
        yield reader


READ: Mapping[str, Callable[[Path, Dialect], Format]] = {
    ".csv": DelimitedText,
    ".parquet": Parquet,
    ".arrow": Arrow,
    ".feather": Arrow,
    ".tsv": DelimitedText,
    ".txt": DelimitedText,
}


def open_table(path: Path, dialect: Dialect) -> Format:
    """The table in a file, by the file's suffix; a suffix of compressed text may follow it.

    Raises:
        TableError: If the suffix names no format.
    """
    suffix = path.suffix.lower()
    packed = suffix in COMPRESSIONS
    if packed:
        suffix = Path(path.stem).suffix.lower()
    format_ = READ.get(suffix)
    if format_ is None or (packed and format_ is not DelimitedText):
        raise TableError(
            f"{path}: the name must end in {' or '.join(READ)}, which says the format; "
            f"{', '.join(COMPRESSIONS)} may follow a text format"
        )
    return format_(path, dialect)
