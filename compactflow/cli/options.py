"""The options that commands have in common, so that each has one name and one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "AsJson",
    "Device",
    "Drop",
    "Force",
    "Model",
    "New",
    "Out",
    "Quick",
    "Quiet",
    "Seed",
    "Train",
    "option",
]


def option(text: str, default: str | bool = "the preset's") -> Any:  # noqa: ANN401
    """An option that, left out, leaves the choice to `OneClassFlow`."""
    return typer.Option(help=text, show_default=default)


Train = Annotated[Path, typer.Argument(metavar="TRAIN", help="Inliers: .csv, .parquet or .arrow.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model that 'fit' wrote.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="New rows: .csv, .parquet or .arrow.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="What to write.")]
Drop = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Leave out a column, '' if unnamed.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same model.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps or another torch device.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer seeds and steps: minutes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
