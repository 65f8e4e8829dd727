"""Experiments as commands: the paper's, and those that go beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

__all__ = ["EXPERIMENTS", "reproduce"]

#: What each experiment shows and writes.
EXPERIMENTS = {
    "fig1": ("three shapes in the plane, the latent's boundary mapped back", ("fig1.png",)),
    "digits": ("one-vs-rest outlier detection on ten digits", ("digits.csv", "digits.json")),
    "gaps": ("supports in one piece and in several", ("gaps.csv", "gaps.png")),
}


def reproduce(names: Sequence[str], *, out: Path, quick: bool, seed: int = 0) -> None:
    """Run experiments and write their pictures and tables.

    Args:
        names: Of `EXPERIMENTS`.
        out: The folder for the results; files of the same name in it are replaced.
        quick: One seed and fewer steps: a few minutes on two cores.
        seed: The first seed.

    Raises:
        ValueError: If there is no such experiment.
    """
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise ValueError(
            f"there is no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}"
        )
    from compactflow.reproduce import digits, gaps, shapes

    run = {"fig1": shapes.run, "digits": digits.run, "gaps": gaps.run}
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        title, files = EXPERIMENTS[name]
        console.print(f"{name}: {title} …")
        table = run[name](out, quick=quick, seed=seed)
        if table is not None:
            console.print(table)
        for file in files:
            console.print(f"wrote {out / file}")
