"""The rows of Parquet files in groups, as the files have them, with the same columns in all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Group", "columns", "row_groups"]


@final
@dataclass(frozen=True)
class Group:
    """A row group of a Parquet file.

    Attributes:
        file: The file.
        number: The number of the row group in it.
        start: How many rows of the file are before it.
        rows: How many it has.
        schema: The columns as which it is read, the same for all files of a table.
    """

    file: Path
    number: int
    start: int
    rows: int
    schema: pa.Schema

    def read(self) -> pa.Table:
        """Read it.

        Raises:
            ValueError: If it cannot be read; the message names the file.
        """
        with _naming(self.file):
            source = pq.ParquetFile(self.file)
            numbers = [self.number] if source.num_row_groups else []
            return source.read_row_groups(numbers).select(self.schema.names).cast(self.schema)


def row_groups(source: Path) -> list[Group]:
    """All row groups of a Parquet file, or of the files in a folder, at least one of each file.

    The files are taken in the order of their names. Those with a dot or an underscore before
    their names, or that of a folder, are left out: engines keep notes of their own in these.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If there is no Parquet file, or one that cannot be read, or if the files have
            different columns.
    """
    files = _find_files(source)
    schemas, counts = [], []
    for file in files:
        with _naming(file):
            metadata = pq.read_metadata(file)
            schemas.append(metadata.schema.to_arrow_schema())
            numbers = range(metadata.num_row_groups)
            counts.append([metadata.row_group(i).num_rows for i in numbers] or [0])
    schema = _in_common(source, files, schemas)
    groups = []
    for file, rows in zip(files, counts, strict=True):
        start = 0
        for number, count in enumerate(rows):
            groups.append(Group(file, number, start, count, schema))
            start += count
    return groups


def columns(source: Path) -> pa.Schema:
    """The columns that the row groups of Parquet files have; raises as `row_groups`."""
    return row_groups(source)[0].schema


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Name a file in errors of reading it."""
    try:
        yield
    except pa.ArrowException as error:
        raise ValueError(f"{file} cannot be read as Parquet: {error}") from error


def _find_files(source: Path) -> list[Path]:
    if not source.exists():
        raise FileNotFoundError(f"there is no file or folder {str(source)!r}")
    if not source.is_dir():
        return [source.resolve()]
    files = [
        file.resolve()
        for file in sorted(source.glob("**/*.parquet"))
        if not any(part.startswith((".", "_")) for part in file.relative_to(source).parts)
    ]
    if not files:
        raise ValueError(f"{source} holds no Parquet files: their names must end in .parquet")
    return files


def _in_common(source: Path, files: Sequence[Path], schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns of the first file, with types that hold the values of all files."""
    first = common = schemas[0]
    for file, schema in zip(files, schemas, strict=True):
        odd = [name for name in schema.names if name not in first.names]
        has, lacks = file, files[0]
        if not odd:
            odd = [name for name in first.names if name not in schema.names]
            has, lacks = lacks, has
        if odd:
            raise ValueError(
                f"the files in {source} have different columns: {odd[0]!r} is in {has} and not in "
                f"{lacks}"
            )
        try:
            common = pa.unify_schemas([common, schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise ValueError(
                f"the columns of {file} are not those of the files before it: {error}"
            ) from error
    return common
