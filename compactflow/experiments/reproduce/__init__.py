"""Experiments as commands: the paper's, and those that go beyond it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from compactflow.terminal import Terminal

__all__ = ["EXPERIMENTS", "PAPER", "reproduce"]

#: What each experiment shows and writes.
EXPERIMENTS = {
    "fig1": ("three shapes in the plane, the latent's boundary mapped back", ("fig1.png",)),
    "fig2": ("one dimension before, during and after training", ("fig2.png",)),
    "fig3": ("the least and the most anomalous examples of each class", ("fig3.png",)),
    "table1": ("one class against the rest, by every detector", ("table1.csv", "table1.md")),
    "table2": ("which class is told from which", ("table2.csv", "table2.png")),
    "theorem": ("the way back to a disturbed solution", ("theorem.csv", "theorem.png")),
    "gaps": ("supports in one piece and in several", ("gaps.csv", "gaps.png")),
    "pushes": ("every push on one backbone", ("pushes.csv",)),
}

#: Those of the paper, which ``all`` means: the others go beyond it, and ``gaps`` needs plugins.
PAPER = tuple(name for name in EXPERIMENTS if name not in ("gaps", "pushes"))


def reproduce(
    names: Sequence[str],
    *,
    out: Path,
    quick: bool,
    features: Path | None = None,
    detectors: Sequence[str] | None = None,
    seeds: int | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Table | None]:
    """Run experiments and write their pictures and tables.

    Args:
        names: Of `EXPERIMENTS`; ``all`` for `PAPER`.
        out: The folder for the results; files of the same name in it are replaced.
        quick: One seed and fewer steps: a few minutes on two cores.
        features: For ``table1``, ``table2`` and ``fig3``, a feature file (see
            `compactflow.experiments.reproduce.features.load`); by default scikit-learn's digits.
        detectors: For the tables, of `compactflow.experiments.reproduce.one_vs_rest.DETECTORS`; by
            default those that are installed, and when quick without deepod's, which take
            minutes; ``table2`` takes IOCN and ours.
        seeds: For ``table1`` and ``table2``, how many; by default 3, or 1 when quick.
        seed: The first seed.
        quiet: Whether to print nothing.

    Returns:
        The table of each experiment that has one.

    Raises:
        FileNotFoundError: If there is no such feature file.
        ValueError: If there is no such experiment or detector, if a detector is not installed,
            or if the feature file or another argument is unfit.
    """
    names = [each for name in names for each in (PAPER if name == "all" else (name,))]
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        raise ValueError(
            f"there is no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)} and all"
        )
    from compactflow.experiments.reproduce import (
        fig2,
        fig3,
        gaps,
        one_vs_rest,
        pushes,
        shapes,
        table1,
        table2,
        theorem,
    )

    study = one_vs_rest.Study.of(features, seeds, quick=quick, first=seed)
    chosen = one_vs_rest.choose(detectors, quick=quick)
    run: dict[str, Callable[[], Table | None]] = {
        "fig1": lambda: shapes.run(out, quick=quick, seed=seed),
        "fig2": lambda: fig2.run(out, quick=quick, seed=seed),
        "fig3": lambda: fig3.run(out, study),
        "table1": lambda: table1.run(out, study, chosen),
        "table2": lambda: table2.run(out, study, *([chosen] if detectors else [])),
        "theorem": lambda: theorem.run(out, quick=quick, seed=seed),
        "gaps": lambda: gaps.run(out, quick=quick, seed=seed),
        "pushes": lambda: pushes.run(out, quick=quick, seed=seed),
    }
    console = Terminal(quiet=quiet)
    tables: dict[str, Table | None] = {}
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        title, files = EXPERIMENTS[name]
        console.print(f"{name}: {title} …")
        tables[name] = table = run[name]()
        if table is not None:
            console.print(table)
        for file in files:
            console.print(f"wrote {out / file}", markup=False, soft_wrap=True)
    return tables
