"""Columns that are asked for, by their names."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from compactflow.tables.dialect import TableError

__all__ = ["check_columns", "check_present"]


def check_present(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """Check that a table has columns.

    Args:
        path: The table.
        columns: What it should have.
        names: What it has.

    Raises:
        TableError: If it lacks one.
    """
    known = set(names)
    missing = [name for name in dict.fromkeys(columns) if name not in known]
    if missing:
        raise TableError(
            f"{path} has no column{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
            f"{_meant(missing, names)}; it has {reprlib.repr(list(names))}"
        )


def _meant(missing: Sequence[str], names: Sequence[str]) -> str:
    """Which columns may have been meant, by case, blanks or spelling."""
    bare = {name.strip().lower(): name for name in names}
    near = [
        bare.get(name.strip().lower()) or next(iter(get_close_matches(name, names, 1)), "")
        for name in missing
    ]
    shown = ", ".join(map(repr, filter(None, near)))
    return f" (did you mean {shown}?)" if shown else ""


def check_columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    """Check that a table has columns, each once. The arguments are those of `check_present`.

    Raises:
        TableError: If it lacks one, or has several of a name.
    """
    check_present(path, columns, names)
    counts = Counter(names)
    repeated = dict.fromkeys(name for name in columns if counts[name] > 1)
    if repeated:
        raise TableError(
            f"{path} has several columns named {', '.join(map(repr, repeated))}; rename them"
        )
