"""Experiments on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from compactflow.cli.app import app
from compactflow.cli.engines import needing_a_library
from compactflow.cli.options import AsJson, Engine, Force, Out, Quick, Seed, option
from compactflow.cli.output import check_out, print_json, records
from compactflow.terminal import Terminal

__all__ = ["benchmark", "combinations", "reproduce", "samples"]


@app.command(epilog="Example: compactflow reproduce --quick --out results")
def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[fig1|fig2|fig3|table1|table2|theorem|gaps|pushes|all]...",
            help="By default fig1 and table1.",
        ),
    ] = None,
    out: Out = Path("results"),
    quick: Quick = False,
    features: Annotated[
        Path | None,
        option("For the tables and fig3: .npz with X, y, split.", "scikit-learn's digits"),
    ] = None,
    detectors: Annotated[
        str | None,
        option("For the tables: names, joined by commas.", "all installed; table2 IOCN and ours"),
    ] = None,
    seeds: Annotated[int | None, option("For the tables: how many.", "3; quick 1")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the paper's experiments, on data that scikit-learn ships unless --features is given.

    The tables and fig3 train on one class against the rest; a run that was stopped goes on where
    it was. 'all' is all but 'pushes' and 'gaps', which needs the plugins compactflow-union and
    compactflow-shell.
    """
    from compactflow.experiments.reproduce import reproduce as run

    found = run(
        experiments or ["fig1", "table1"],
        out=out,
        quick=quick,
        features=features,
        detectors=detectors.split(",") if detectors else None,
        seeds=seeds,
        quiet=as_json,
    )
    if as_json:
        from compactflow.experiments.reproduce import EXPERIMENTS

        print_json(
            {
                name: {
                    "files": [str(out / file) for file in EXPERIMENTS[name][1]],
                    "table": table and records(table),
                }
                for name, table in found.items()
            }
        )


@app.command(epilog="Example: compactflow combinations pendigits.npz --out combinations.csv")
def combinations(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="An .npz file with X and y.")],
    out: Out,
    max_steps: Annotated[int | None, option("Training steps at most.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Fit every backbone with every latent, plugins included, on one labelled data set.

    y is 1 for outliers. Trains on half of the inliers and tests on all other rows. The table has
    the AUROC, that of the untrained network, the fit time and the error of decoding.
    """
    check_out(out, force=force, inputs=[data])
    from compactflow.experiments.combinations import run

    _print(run(data, out, max_steps=max_steps, seed=seed), as_json)


@app.command(epilog="Example: compactflow benchmark --data adbench --seeds 5 --jobs 2")
def benchmark(
    data: Annotated[
        list[Path], typer.Option(help="A folder of .npz files with X and y; may be repeated.")
    ],
    out: Out = Path("benchmark"),
    detectors: Annotated[
        str | None,
        option(
            "Names, joined by commas; KNN@marginal is a peer behind that first layer.",
            "all installed",
        ),
    ] = None,
    sets: Annotated[
        str | None, option("File names without .npz, joined by commas.", "all")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many.")] = 5,
    jobs: Annotated[int, typer.Option(help="Processes; each computes with one thread.")] = 1,
    dirty: Annotated[
        float, typer.Option(help="Share of the outliers to mix into training.")
    ] = 0.0,
    engine: Engine = None,
    as_json: AsJson = False,
) -> None:
    """Compare detectors on labelled data sets, by the clean one-class protocol.

    y is 1 for outliers. Trains on half of the inliers and tests on all other rows. Writes
    results.csv, results.parquet, benchmark.md, critical-difference.png and front.png. A run that
    was stopped goes on where it was when it is started again. With --engine, the fits run
    elsewhere, where the folders must have the same paths.
    """
    from compactflow.experiments.benchmark import run

    chosen, wanted = (names.split(",") if names else None for names in (detectors, sets))
    with needing_a_library():
        table = run(
            data,
            out,
            detectors=chosen,
            sets=wanted,
            seeds=seeds,
            jobs=jobs,
            dirty=dirty,
            engine=engine,
        )
    _print(table, as_json)


@app.command(epilog="Example: compactflow samples --data adbench --out samples.csv")
def samples(
    data: Annotated[
        list[Path], typer.Option(help="A folder of .npz files with X and y; may be repeated.")
    ],
    out: Out,
    max_steps: Annotated[int | None, option("Training steps at most.")] = None,
    members: Annotated[int | None, option("Flows.")] = None,
    score_by: Annotated[str | None, option("neighbours or support.", "neighbours")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Compare samples of a detector with inliers that it has not seen, on labelled data sets.

    Trains on half of the inliers, at most 1000. Compares standard deviations, energy distances,
    the distance to the nearest training row, and asks a classifier to tell them apart.
    """
    check_out(out, force=force, inputs=data)
    from compactflow.experiments.samples import run

    table = run(data, out, max_steps=max_steps, members=members, score_by=score_by, seed=seed)
    _print(table, as_json)


def _print(table: Table, as_json: bool) -> None:
    """Print a table, or its rows for machines; all digits are in the files."""
    if as_json:
        print_json(records(table))
    else:
        Terminal().print(table)
