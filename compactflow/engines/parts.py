"""Parquet files in parts, the row groups, each of which is scored into a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pyarrow as pa
import pyarrow.parquet as pq

from compactflow.files import write_atomically

__all__ = ["Part", "row_groups", "split"]


@final
@dataclass(frozen=True)
class Part:
    """A row group and the file for its scores.

    Attributes:
        source: The Parquet file.
        group: The number of the row group in it.
        target: The file to write.
    """

    source: Path
    group: int
    target: Path

    def score(self, scorer: Callable[[pa.Table], pa.Table]) -> None:
        """Score the row group; when that is done again it replaces what there was, at once."""
        scored = scorer(pq.ParquetFile(self.source).read_row_group(self.group))
        write_atomically(self.target, lambda temporary: pq.write_table(scored, temporary))


def row_groups(source: Path) -> list[tuple[Path, int]]:
    """All row groups of a Parquet file, or of a folder of them in the order of their names."""
    files = sorted(source.glob("**/*.parquet")) if source.is_dir() else [source]
    return [
        (file.resolve(), number)
        for file in files
        for number in range(pq.read_metadata(file).num_row_groups)
    ]


def split(source: Path, target: Path) -> list[Part]:
    """Split Parquet files into parts, whose targets' names are in the order of the rows.

    Args:
        source: A Parquet file, or a folder of them.
        target: The folder for the scores, which is made.
    """
    target.mkdir()
    groups = row_groups(source)
    digits = len(str(len(groups)))
    return [
        Part(file, i, target.resolve() / f"part-{number:0{digits}}.parquet")
        for number, (file, i) in enumerate(groups)
    ]
