"""Tables on disk (text, Parquet, Arrow), read and written in bounded batches."""

from compactflow.tables.dialect import CellError, Dialect, TableError
from compactflow.tables.reading import (
    check_format,
    column_names,
    column_types,
    count_rows,
    read_batches,
    read_cells,
    read_table,
)
from compactflow.tables.sampling import sample
from compactflow.tables.writing import check_output, defuse, write

__all__ = [
    "CellError",
    "Dialect",
    "TableError",
    "check_format",
    "check_output",
    "column_names",
    "column_types",
    "count_rows",
    "defuse",
    "read_batches",
    "read_cells",
    "read_table",
    "sample",
    "write",
]
