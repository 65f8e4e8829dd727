"""The command line. Commands import what they need, so that help and listings are fast."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import compactflow
from compactflow.plugins import Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from compactflow.estimator import OneClassFlow

__all__ = ["app", "main"]

_KINDS = get_args(Kind)
_SCORES = {"signed_distance": "float64", "decision_function": "float64", "is_outlier": "bool"}

# Typer's name for wrong usage; since 0.26 it is no longer click's, but always BadParameter's base.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="compactflow",
    help="One-class learning and outlier detection with compact-latent flows.",
    rich_markup_mode="markdown",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 2 wrong input, with one line on stderr that says what and why.",
)


def _option(text: str, default: str | bool = "the preset's") -> Any:  # noqa: ANN401
    """An option that, left out, leaves the choice to `OneClassFlow`."""
    return typer.Option(help=text, show_default=default)


Train = Annotated[Path, typer.Argument(metavar="TRAIN", help="Inliers: .csv or .parquet.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model that 'fit' wrote.")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="Rows to score: .csv or .parquet.")]
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The command and its arguments; those of the process if not given.

    Returns:
        The exit code: 0, or 2 for wrong input, after one line on stderr that says what is wrong.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            run = typer.main.get_command(app).main
            code = run(arguments, prog_name="compactflow", standalone_mode=False)
            return int(code or 0)
        except _UsageError as error:
            message = f"{error.format_message().rstrip('.')}; see {error.ctx.command_path} --help"
        except (ValueError, OSError) as error:
            message = str(error)
    _say("error", message)
    return 2


@app.command(epilog="Example: compactflow fit train.csv --out pump.model --drop id")
def fit(
    train: Train,
    out: Out,
    drop: Drop = None,
    backbone: Annotated[str | None, _option("The invertible network.", "coupling")] = None,
    latent: Annotated[str | None, _option("The support in latent space.", "cube")] = None,
    pull: Annotated[str | None, _option("Draws latents in.", "suits latent and push")] = None,
    push: Annotated[str | None, _option("Spreads latents.")] = None,
    preset: Annotated[str | None, _option("'paper' for the paper's settings.", False)] = None,
    max_steps: Annotated[int | None, _option("Training steps at most.")] = None,
    batch_size: Annotated[int | None, _option("Rows per step.")] = None,
    learning_rate: Annotated[float | None, _option("Peak learning rate.")] = None,
    validation_fraction: Annotated[float | None, _option("Share held out.", "0.1")] = None,
    boundary: Annotated[str | None, _option("Share of inliers inside, or 'natural'.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the state of training here.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Train a detector on a table of inliers and write it to one file.

    Every column must hold finite numbers; columns that are no features, such as an id or a
    label, are left out with --drop. 'compactflow plugins' lists the components by name. Rows are
    outliers beyond the boundary: that which keeps the given share of held-out inliers inside, or
    with 'natural' that of the latent support. With --checkpoint, the same command goes on where
    it was killed, to the same model; the folder can be removed once the model is written.
    """
    _check_out(out, force=force, inputs=[train])
    from compactflow import tables

    table = tables.read_table(train, without=drop or [])
    from compactflow.estimator import build

    given: dict[str, Any] = {
        "backbone": backbone,
        "latent": latent,
        "pull": pull,
        "push": push,
        "preset": preset,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation_fraction": validation_fraction,
        "boundary": _boundary(boundary),
        "random_state": seed,
        "device": device,
        "verbose": not quiet and sys.stdout.isatty(),
    }
    detector = build(**{name: value for name, value in given.items() if value is not None})
    detector.fit(table, checkpoint=checkpoint)
    detector.save(out)
    if not quiet:
        _summarise_fit(detector, table, train, out)


@app.command(epilog="Example: compactflow score pump.model new.csv --out scores.csv")
def score(
    model: Model,
    new: New,
    out: Out,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Score the rows of a table, in constant memory.

    Columns are matched by name: those the model was fitted on must be there, in any order, and
    others are ignored. The output (.csv or .parquet) has one row per input row, in the same order:
    signed_distance (latent units, negative inside the support), decision_function (negative for
    outliers) and is_outlier.
    """
    _check_out(out, force=force, inputs=[model, new])
    from compactflow import storage, tables

    tables.check_format(out)
    tables.check_format(new)
    detector = storage.load(model, device=device)
    if not hasattr(detector, "feature_names_in_"):
        raise ValueError(
            f"{model} was fitted on an array without column names, so columns cannot be matched; "
            "fit it on a table or a data frame, or score in Python"
        )
    rows = tables.read_batches(new, list(detector.feature_names_in_))
    counts: Counter[bool] = Counter()
    scores = _scores(detector, rows, counts)
    storage.write_atomically(out, lambda temporary: tables.write(temporary, _SCORES, scores))
    if not quiet:
        _print("scored", f"{counts.total()} rows, of which {counts[True]} are outliers")
        _print("scores", out)


@app.command(epilog="Example: compactflow plugins --kind latent --json")
def plugins(
    kind: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(_KINDS)}.")] = None,
    as_json: AsJson = False,
) -> None:
    """List backbones, latents, pulls and pushes, and the plugins that failed to load and why."""
    from compactflow import registry

    if kind is not None and kind not in _KINDS:
        raise ValueError(f"--kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    names = ("name", "kind", "distribution", "version", "status", "summary", "error")
    rows = [
        {name: getattr(component, name) for name in names}
        for component in registry.available(cast("Kind | None", kind))
    ]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    headers = [name for name in names if any(row[name] for row in rows)]
    table = Table(*headers)
    for row in rows:
        table.add_row(*(Text(row[name]) for name in headers))
    Console().print(table)


@app.command(epilog="Example: compactflow reproduce --quick --out results")
def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[fig1|fig2|fig3|table1|table2|theorem|gaps|all]...",
            help="By default fig1 and table1.",
        ),
    ] = None,
    out: Out = Path("results"),
    quick: Quick = False,
    features: Annotated[
        Path | None,
        _option("For the tables and fig3: .npz with X, y, split.", "scikit-learn's digits"),
    ] = None,
    detectors: Annotated[
        str | None, _option("For table1: names, joined by commas.", "all installed")
    ] = None,
    seeds: Annotated[int | None, _option("For the tables: how many.", "3; quick 1")] = None,
) -> None:
    """Run the paper's experiments, on data that scikit-learn ships unless --features is given.

    The tables and fig3 train on one class against the rest; a run that was stopped goes on where
    it was. 'all' is all but 'gaps', which needs the plugins compactflow-union and
    compactflow-shell.
    """
    from compactflow.reproduce import reproduce as run

    run(
        experiments or ["fig1", "table1"],
        out=out,
        quick=quick,
        features=features,
        detectors=detectors.split(",") if detectors else None,
        seeds=seeds,
    )


@app.command(epilog="Example: compactflow combinations pendigits.npz --out combinations.csv")
def combinations(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="An .npz file with X and y.")],
    out: Out,
    max_steps: Annotated[int | None, _option("Training steps at most.")] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Fit every backbone with every latent, plugins included, on one labelled data set.

    y is 1 for outliers. Trains on half of the inliers and tests on all other rows. The table has
    the AUROC, that of the untrained network, the fit time and the error of decoding.
    """
    _check_out(out, force=force, inputs=[data])
    from compactflow.combinations import run

    Console().print(run(data, out, max_steps=max_steps, seed=seed))


@app.command(epilog="Example: compactflow benchmark --data adbench --seeds 5 --jobs 2")
def benchmark(
    data: Annotated[Path, typer.Option(help="A folder of .npz files with X and y.")],
    out: Out = Path("benchmark"),
    detectors: Annotated[str | None, _option("Names, joined by commas.", "all installed")] = None,
    sets: Annotated[
        str | None, _option("File names without .npz, joined by commas.", "all")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many.")] = 5,
    jobs: Annotated[int, typer.Option(help="Processes; each computes with one thread.")] = 1,
) -> None:
    """Compare detectors on labelled data sets, by the clean one-class protocol.

    y is 1 for outliers. Trains on half of the inliers and tests on all other rows. Writes
    results.csv, results.parquet, benchmark.md and critical-difference.png. A run that was stopped
    goes on where it was when it is started again.
    """
    from compactflow.benchmark import run

    chosen, wanted = (names.split(",") if names else None for names in (detectors, sets))
    Console().print(run(data, out, detectors=chosen, sets=wanted, seeds=seeds, jobs=jobs))


@app.command("new-plugin", epilog="Example: compactflow new-plugin torus --kind latent")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by '-'.")],
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(_KINDS)}.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make it in.")] = Path(),
) -> None:
    """Write a package with a working component of your own, its plugin and its tests.

    It installs and passes its own tests as it is; replace its mathematics by yours.
    """
    from compactflow import scaffold

    for path in scaffold.new_plugin(name, cast("Kind", kind), out):
        _print("wrote", path)
    folder = shlex.quote(str(out / f"compactflow-{name}"))
    _print("next", f"python -m pip install -e '{folder}[test]' && pytest {folder}")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"compactflow {compactflow.__version__}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]


@app.callback()
def _before_any_command(version: _Version = False) -> None:
    """Declares the options that are not of one command."""


def _check_out(out: Path, *, force: bool, inputs: Iterable[Path]) -> None:
    """Check, before any work, that the output can be written and replaces nothing by accident."""
    if out.is_dir():
        raise IsADirectoryError(f"--out {out} is a folder; give a file name in it")
    if any(out.resolve() == path.resolve() for path in inputs):
        raise ValueError(f"--out {out} is also an input; give another name")
    if out.exists() and not force:
        raise FileExistsError(f"--out {out} exists; give another name, or --force to replace it")
    try:
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise OSError(f"--out {out}: cannot write in {out.parent}: {error.strerror}") from error


def _boundary(text: str | None) -> float | str | None:
    if text is None or text == "natural":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"--boundary must be a number in (0, 1) or 'natural', got {text!r}"
        ) from None


def _scores(
    detector: OneClassFlow, batches: Iterable[pa.RecordBatch], counts: Counter[bool]
) -> Iterator[pa.RecordBatch]:
    """Score batches of rows, and count inliers and outliers on the way."""
    import pyarrow as pa

    for batch in filter(len, batches):
        distance = detector.signed_distance(pa.Table.from_batches([batch]))
        decision = -distance - detector.offset_
        outlier = ~(decision >= 0)
        counts.update(outlier.tolist())
        columns = [pa.array(column) for column in (distance, decision, outlier)]
        yield pa.RecordBatch.from_arrays(columns, names=list(_SCORES))


def _summarise_fit(detector: OneClassFlow, table: pa.Table, train: Path, out: Path) -> None:
    import numpy as np

    constant = [name for name in table.column_names if np.ptp(table[name].to_numpy()) == 0]
    _print("trained on", f"{len(table)} rows and {table.num_columns} features of {train}")
    if constant:
        _print("constant", f"{', '.join(constant)}; a later deviation counts in its own unit")
    energy = detector.history_.get("energy_distance", [])
    if np.isfinite(energy).any():
        inside = detector.history_["inlier_fraction"][np.nanargmin(energy)]
        _print("held-out rows", f"{inside:.1%} inside the support")
    _print("outliers", f"signed distance above {-detector.offset_:.4g}")
    _print("model", out)
    _print("next", f"compactflow score {shlex.quote(str(out))} NEW.csv --out scores.csv")


def _print(label: str, value: object) -> None:
    """Print a labelled line, not wrapped, so that paths and commands can be copied."""
    Console().print(Text.assemble((f"{label:>14}", "bold"), f"  {value}"), soft_wrap=True)


def _say(kind: str, message: str) -> None:
    """Print a message as one line on stderr."""
    print(f"{kind}: {' '.join(message.split())}", file=sys.stderr)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say("warning", str(message))
