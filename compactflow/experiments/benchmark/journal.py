"""Finished tasks on disk, so that a killed run loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from compactflow.experiments.rows import Row

__all__ = ["Journal", "Task"]


class Task(NamedTuple):
    """All that decides a result.

    Attributes:
        set: Name of the data set.
        detector: Name of the detector.
        seed: Of the split and of the detector.
        data: SHA-256 of the data file.
        protocol: Version of the protocol.
        version: Version of compactflow.
        dirty: Share of the outliers that is mixed into training, in [0, 1).
    """

    set: str
    detector: str
    seed: int
    data: str
    protocol: int
    version: str
    dirty: float = 0.0


class Journal:
    """One line of JSON per finished task.

    A line that a kill left torn, or that is damaged, is skipped: its task counts as not done. Of
    two lines with the same task, the later one counts.

    Args:
        path: The file; it is made if it does not exist.
        fields: What a result holds besides the task's fields and ``error``, and of which types;
            after an error they may be ``None`` or missing.
    """

    def __init__(self, path: Path, fields: Mapping[str, type | tuple[type, ...]]) -> None:
        self.rows: dict[Task, Row] = {}
        self._path = path
        self._fields = fields
        path.touch()
        content = path.read_bytes()
        for line in content.splitlines():
            self._read(line)
        if content and not content.endswith(b"\n"):
            self._write(b"\n")

    def find_pending(self, tasks: Iterable[Task]) -> list[Task]:
        """Those of the tasks that have no result yet, or an error."""
        done = {task for task, row in self.rows.items() if row["error"] is None}
        return [task for task in tasks if task not in done]

    def append(self, row: Row) -> None:
        """Write the row of a finished task, which holds the task's fields, to the disk."""
        self._write(json.dumps(row).encode() + b"\n")
        self.rows[_task(row)] = row

    def _read(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            if self._is_result(row):
                self.rows[_task(row)] = row
        except (ValueError, KeyError, TypeError, RecursionError):
            pass

    def _is_result(self, row: Row) -> bool:
        failed = row["error"] is not None
        sound = (
            isinstance(row.get(name), types) or (failed and row.get(name) is None)
            for name, types in self._fields.items()
        )
        return isinstance(row["error"], str | None) and all(sound)

    def _write(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _task(row: Row) -> Task:
    """The task of a row.

    Raises:
        KeyError: If a field is missing.
        TypeError: If a field is of another type.
    """
    needed = Task._fields[: -len(Task._field_defaults)]
    given = [name for name in Task._fields if name in row or name in needed]
    task = Task(**{name: row[name] for name in given})
    types = {"seed": int, "protocol": int, "dirty": float}
    for name, value in task._asdict().items():
        if type(value) is not types.get(name, str):
            raise TypeError(f"{name} is {value!r}")
    return task
