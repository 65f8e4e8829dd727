"""Parquet files in parts, the row groups, each of which is scored into a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pyarrow as pa
import pyarrow.parquet as pq

from compactflow.engines.groups import Group, row_groups
from compactflow.files import write_atomically

__all__ = ["Part", "split"]


@final
@dataclass(frozen=True)
class Part:
    """A row group and the file for its scores.

    Attributes:
        group: The row group.
        target: The file to write.
    """

    group: Group
    target: Path

    def score(self, scorer: Callable[[pa.Table], pa.Table]) -> None:
        """Score the row group; when that is done again it replaces what there was, at once.

        Raises:
            ValueError: If the rows are unfit; the message says where they are.
        """
        group = self.group
        table = group.read()
        try:
            scored = scorer(table)
        except ValueError as error:
            after = f", after its first {group.start} rows" if group.start else ""
            raise ValueError(f"{group.file}{after}: {error}") from error
        write_atomically(self.target, lambda temporary: pq.write_table(scored, temporary))


def split(source: Path, target: Path) -> list[Part]:
    """Split Parquet files into parts, whose targets' names are in the order of the rows.

    Args:
        source: A Parquet file, or a folder of them.
        target: The folder for the scores, which is made.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the files are unfit: see `compactflow.engines.groups.row_groups`.
    """
    groups = row_groups(source)
    target.mkdir()
    digits = len(str(len(groups)))
    return [
        Part(group, target.resolve() / f"part-{number:0{digits}}.parquet")
        for number, group in enumerate(groups)
    ]
