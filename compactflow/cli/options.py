"""The options that commands have in common, so that each has one name and one meaning."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from compactflow.text import Note

__all__ = [
    "AsJson",
    "By",
    "Categorical",
    "Context",
    "Decimal",
    "Device",
    "Drop",
    "Encoding",
    "Engine",
    "Force",
    "Header",
    "Id",
    "Keep",
    "Label",
    "Model",
    "New",
    "Out",
    "Outlier",
    "Quick",
    "Quiet",
    "Seed",
    "Sep",
    "Time",
    "Train",
    "Weight",
    "Window",
    "option",
]


def option(text: str, default: str | bool = "the preset's") -> Any:  # noqa: ANN401
    """An option that, left out, leaves the choice to `OneClassFlow`."""
    return typer.Option(help=text, show_default=default)


def _silence_notes(quiet: bool) -> bool:
    if quiet:
        warnings.simplefilter("ignore", Note)
    return quiet


_FORMATS = ".csv, .tsv or .txt (.gz too), .parquet, .arrow or .feather"

Train = Annotated[Path, typer.Argument(metavar="TRAIN", help=f"Inliers: {_FORMATS}.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model that 'fit' wrote.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help=f"New rows: {_FORMATS}.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="What to write.")]
Drop = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Leave out a column, '' if unnamed.")
]
Categorical = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Take a column for a category.")
]
Context = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Judge the others given this column.")
]
Id = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="A column that names rows: no feature.")
]
Weight = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column of how much each row counts.")
]
Window = Annotated[
    int | None, typer.Option(min=2, help="See each row with so many rows of its past.")
]
By = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --window: whose rows they are.")
]
Time = Annotated[
    str | None, typer.Option(metavar="NAME", help="With --window: what orders the rows.")
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The column that tells outliers: 1 or true (or -1 among 1 and -1)."
    ),
]
Outlier = Annotated[
    list[str] | None,
    typer.Option(metavar="VALUE", help="What --label calls outliers, if no 1, true or -1."),
]
Engine = Annotated[str | None, option("Work elsewhere: 'ray', 'spark' or a plugin's.", "here")]
Keep = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Carry a column to the output.")
]
Sep = Annotated[
    str | None, option("What separates cells: a character, or comma, tab, space ...", "found")
]
Decimal = Annotated[str | None, option("The decimal mark, '.' or ','.", "found")]
Encoding = Annotated[str | None, option("How text is encoded, e.g. cp1252.", "found")]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Does the first line hold names?  [default: found]"),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same model.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps or another torch device.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress, no notes, no summary.", callback=_silence_notes
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer seeds and steps: minutes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
