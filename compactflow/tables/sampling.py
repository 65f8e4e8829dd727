"""A uniform sample of rows that stream by."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.text import Note

__all__ = ["draw", "sample", "tell_drawn"]


def draw(
    path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, most: int, seed: int
) -> pa.Table:
    """The rows of a file that `sample` draws, with a `Note` if there are others."""
    kept, rows = sample(batches, most, seed)
    tell_drawn(path, most, rows)
    return pa.Table.from_batches(kept, schema)


def tell_drawn(path: Path, most: int, rows: int) -> None:
    """Tell by a `Note` that not all rows stay, if so."""
    if rows > most:
        warnings.warn(
            f"{path}: {most} of {rows} rows are drawn by chance; --max-rows sets how many",
            Note,
            stacklevel=3,
        )


def sample(
    batches: Iterable[pa.RecordBatch], most: int, seed: int
) -> tuple[list[pa.RecordBatch], int]:
    """Draw rows, all of them with equal chance, in memory for twice as many.

    Each row gets a random key, and those of the smallest keys stay, in their order. The same seed
    draws the same rows of another column, however the batches are cut.

    Args:
        batches: The rows.
        most: How many rows to keep at most, at least 1; if there are no more, all stay.
        seed: Of the keys.

    Returns:
        The rows, and how many there were.

    References:
        Fan, Muller, Rezucha (1962), *Development of sampling plans by using sequential (item by
        item) selection techniques and digital computers*.
    """
    rng = np.random.default_rng(seed)
    kept: list[pa.RecordBatch] = []
    keys, bound, rows = np.empty(0), 1.0, 0
    for batch in batches:
        fresh = rng.random(len(batch))
        stays = fresh < bound
        kept.append(batch.filter(pa.array(stays)))
        keys = np.append(keys, fresh[stays])
        rows += len(batch)
        if len(keys) > 2 * most:
            kept, keys = _smallest(kept, keys, most)
            bound = float(keys.max())
    if len(keys) > most:
        kept, keys = _smallest(kept, keys, most)
    return kept, rows


def _smallest(
    batches: list[pa.RecordBatch], keys: NDArray[np.float64], most: int
) -> tuple[list[pa.RecordBatch], NDArray[np.float64]]:
    """The rows of the smallest keys, in their order, and the keys."""
    places = np.sort(np.argpartition(keys, most - 1)[:most])
    rows = pa.Table.from_batches(batches).take(pa.array(places))
    return rows.combine_chunks().to_batches(), keys[places]
