"""What a command measured, as CSV below a line that says how: the form of ``docs/tables``."""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import cpuinfo
import torch

import compactflow
from compactflow.experiments.rows import Row

_DIGITS = 4


def show(rows: Iterable[Row]) -> None:
    """Print rows of equal keys as they come."""
    print(f"# {_command()}; {_machine()}")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        writer.writerow(map(_shorten, row.values()))
        sys.stdout.flush()


def _shorten(value: object) -> object:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _command() -> str:
    """The command that runs, without the folders of its files."""
    words = [Path(word).name if Path(word).exists() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *words])


def _machine() -> str:
    return (
        f"compactflow {compactflow.__version__}, torch {torch.__version__}, "
        f"{cpuinfo.get_cpu_info()['brand_raw']}"
    )
