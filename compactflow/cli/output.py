"""What commands print and where they may write."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO, final

from rich.table import Table
from rich.text import Text

from compactflow.files import check_replaceable
from compactflow.terminal import Terminal
from compactflow.text import one_line, printable

__all__ = [
    "check_out",
    "json_only",
    "logs_shown",
    "print_json",
    "print_line",
    "printable",
    "records",
    "write_json",
]

_STDOUT = 1  # the file descriptor

_machines: TextIO | None = None  # where JSON goes inside `json_only`


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


@contextmanager
def logs_shown() -> Iterator[None]:
    """Show on stderr what the package logs, a line for each record, while in the block."""
    log, handler = logging.getLogger("compactflow"), logging.StreamHandler(sys.stderr)
    before = log.level
    handler.setFormatter(_OneLine())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


@final
class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {one_line(record.getMessage())}"


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
    write_json(json.dumps(value, indent=2, default=str) + "\n")


def write_json(text: str) -> None:
    """Print a part of a JSON document."""
    print(text, end="", file=_machines or sys.stdout, flush=True)


@contextmanager
def json_only() -> Iterator[None]:
    """Keep standard output for JSON in a ``with`` block: what else is printed goes to stderr.

    So it does if a component prints, or a library or a process that it calls.
    """
    global _machines
    with ExitStack() as stack:
        _machines = sys.stdout
        stack.callback(_forget)
        stack.enter_context(redirect_stdout(sys.stderr))
        if _is_real(_machines):
            _machines.flush()
            kept = os.dup(_STDOUT)
            _machines = stack.enter_context(open(kept, "w", encoding="ascii"))
            os.dup2(sys.stderr.fileno(), _STDOUT)
            stack.callback(lambda: os.dup2(kept, _STDOUT))
        yield


def _forget() -> None:
    global _machines
    _machines = None


def _is_real(stream: TextIO) -> bool:
    """Whether a stream is the process's own output, and no stand-in."""
    try:
        return stream.fileno() == _STDOUT and sys.stderr.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False
