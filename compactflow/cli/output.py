"""What commands print and where they may write."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table
from rich.text import Text

from compactflow.files import check_replaceable
from compactflow.terminal import Terminal
from compactflow.text import printable

__all__ = ["check_out", "print_json", "print_line", "printable", "records"]


def check_out(out: Path, *, force: bool, inputs: Iterable[Path]) -> None:
    """Check, before any work, that the output can be written and replaces nothing by accident."""
    if out.is_dir():
        raise IsADirectoryError(f"--out {out} is a folder; give a file name in it")
    if os.path.realpath(out) in map(os.path.realpath, inputs):
        raise ValueError(f"--out {out} is also an input; give another name")
    if out.is_file() and not force:
        raise FileExistsError(f"--out {out} exists; give another name, or --force to replace it")
    folder = Path(os.path.realpath(out)).parent if out.is_symlink() else out.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"--out {out}: cannot write in {folder}: {error.strerror}") from error
    check_replaceable(out)


def print_line(label: str, value: object) -> None:
    """Print a labelled line, not wrapped, so that paths and commands can be copied."""
    line = Text.assemble((f"{label:>14}", "bold"), f"  {printable(value)}")
    Terminal().print(line, soft_wrap=True)


def records(table: Table) -> list[dict[str, str]]:
    """The rows of a table as it is printed, each a mapping of header to cell."""
    columns = {
        str(column.header): [str(cell) for cell in column.cells] for column in table.columns
    }
    return [
        dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
    ]


def print_json(value: object) -> None:
    """Print a JSON document, in ASCII, which any terminal and any pipe takes."""
    print(json.dumps(value, indent=2, default=str))
