"""A uniform sample of the rows of Parquet files, drawn by workers."""

from __future__ import annotations

from itertools import accumulate
from math import sqrt
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.engines.groups import Group, row_groups
from compactflow.workers import Workers

__all__ = ["draw"]

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
        ValueError: If the files are unfit: see `compactflow.engines.groups.row_groups`.
        FileNotFoundError: If there is no such file or folder.
    """
    groups = row_groups(source)
    counts = [group.rows for group in groups]
    *before, rows = accumulate(counts, initial=0)
    tasks = list(zip(groups, before, strict=True))
    bound = (most + _MARGIN * sqrt(most)) / max(rows, 1)
    for least in (bound, np.inf) if rows > most else (np.inf,):
        tables, keys = zip(*workers.run(_draw, (seed, least), tasks), strict=True)
        key = np.concatenate(keys)
        if len(key) >= min(most, rows):
            break
    table = pa.concat_tables(tables)
    if rows > most:
        table = table.take(pa.array(np.sort(np.argpartition(key, most - 1)[:most])))
    return table, rows


def _draw(
    shared: tuple[int, float], task: tuple[Group, int]
) -> tuple[pa.Table, NDArray[np.float64]]:
    """The rows of a group whose keys are below a bound, and the keys."""
    (seed, bound), (group, before) = shared, task
    table = group.read()
    generator = np.random.PCG64(seed)
    generator.advance(before)  # a key takes one step
    keys = np.random.Generator(generator).random(len(table))
    return table.filter(pa.array(keys < bound)), keys[keys < bound]
