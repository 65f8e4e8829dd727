"""A uniform sample of the rows of Parquet files, drawn by workers."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from compactflow.engines.parts import row_groups
from compactflow.workers import Workers

__all__ = ["draw"]

_Group: TypeAlias = tuple[Path, int, int]  # file, number, and rows before it
_MARGIN = 7  # standard deviations of a count; once in 10¹¹ draws it takes a second pass


def draw(workers: Workers, source: Path, most: int, seed: int) -> tuple[pa.Table, int]:
    """Draw rows, all of them with equal chance, each row group in a task.

    They are the rows that `compactflow.tables.sample` draws, in one pass, of the same files in
    the order of their names: a task skips the random keys of the rows before its own.

    Args:
        workers: What reads the row groups. They must reach the files by the same paths.
        source: A Parquet file, or a folder of them.
        most: How many rows to keep at most, at least 1; if there are no more, all stay.
        seed: Of the keys.

    Returns:
        The rows, in their order, and how many there were.

    Raises:
        ValueError: If the files have different columns, or there are none.
        FileNotFoundError: If there is no such file or folder.
        pyarrow.ArrowException: If they cannot be read.
    """
    if not source.exists():
        raise FileNotFoundError(f"there is no file or folder {str(source)!r}")
    groups: list[_Group] = []
    rows = 0
    for file, number in row_groups(source):
        groups.append((file, number, rows))
        rows += pq.read_metadata(file).row_group(number).num_rows
    if not groups:
        raise ValueError(f"{source} has no rows in Parquet files")
    bound = (most + _MARGIN * sqrt(most)) / max(rows, 1)
    for least in (bound, np.inf) if rows > most else (np.inf,):
        tables, keys = zip(*workers.run(_draw, (seed, least), groups), strict=True)
        key = np.concatenate(keys)
        if len(key) >= min(most, rows):
            break
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise ValueError(f"the files in {source} have different columns: {error}") from error
    if rows > most:
        table = table.take(pa.array(np.sort(np.argpartition(key, most - 1)[:most])))
    return table, rows


def _draw(shared: tuple[int, float], group: _Group) -> tuple[pa.Table, NDArray[np.float64]]:
    """The rows of a group whose keys are below a bound, and the keys."""
    (seed, bound), (file, number, before) = shared, group
    table = pq.ParquetFile(file).read_row_group(number)
    generator = np.random.PCG64(seed)
    generator.advance(before)  # a key takes one step
    keys = np.random.Generator(generator).random(len(table))
    return table.filter(pa.array(keys < bound)), keys[keys < bound]
