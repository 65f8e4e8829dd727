"""The paper's experiments on data that scikit-learn ships."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

__all__ = ["reproduce"]


def reproduce(*, out: Path, quick: bool, seed: int = 0) -> None:
    """Run the experiments and write their pictures and tables.

    Args:
        out: The folder for the results; files of the same name in it are replaced.
        quick: One seed and fewer steps: a few minutes on two cores.
        seed: The first seed.
    """
    from compactflow.reproduce import digits, shapes

    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    console.print("Three shapes in the plane, with the latent's boundary mapped back …")
    shapes.run(out, quick=quick, seed=seed)
    console.print("One-vs-rest outlier detection on the ten digits …")
    console.print(digits.run(out, quick=quick, seed=seed))
    for name in ("fig1.png", "digits.csv", "digits.json"):
        console.print(f"wrote {out / name}")
