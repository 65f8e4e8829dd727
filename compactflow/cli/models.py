"""Fitting and scoring."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compactflow.cli.app import app
from compactflow.cli.options import (
    AsJson,
    Device,
    Drop,
    Force,
    Model,
    New,
    Out,
    Quiet,
    Seed,
    Train,
    option,
)
from compactflow.cli.output import check_out, print_json, print_line

if TYPE_CHECKING:
    import pyarrow as pa

    from compactflow.estimator import OneClassFlow

__all__ = ["fit", "open_model", "score", "set_boundary"]

_SCORES = {"signed_distance": "float64", "decision_function": "float64", "is_outlier": "bool"}


@app.command(epilog="Example: compactflow fit train.csv --out pump.model --drop id")
def fit(
    train: Train,
    out: Out,
    drop: Drop = None,
    backbone: Annotated[str | None, option("The invertible network.", "coupling")] = None,
    latent: Annotated[str | None, option("The support in latent space.", "cube")] = None,
    pull: Annotated[str | None, option("Draws latents in.", "suits latent and push")] = None,
    push: Annotated[str | None, option("Spreads latents.")] = None,
    preset: Annotated[str | None, option("'paper' for the paper's settings.", False)] = None,
    members: Annotated[int | None, option("Flows in the ensemble.", "suits backbone")] = None,
    max_steps: Annotated[int | None, option("Training steps at most.")] = None,
    batch_size: Annotated[int | None, option("Rows per step and member.")] = None,
    learning_rate: Annotated[float | None, option("Peak learning rate.")] = None,
    validation_fraction: Annotated[float | None, option("Share held out.", "0.1")] = None,
    boundary: Annotated[str | None, option("Share of inliers inside, or 'natural'.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the state of training here.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
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
    check_out(out, force=force, inputs=[train])
    from compactflow import tables

    table = tables.read_table(train, without=drop or [])
    from compactflow.estimator import build

    given: dict[str, Any] = {
        "backbone": backbone,
        "latent": latent,
        "pull": pull,
        "push": push,
        "preset": preset,
        "members": members,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation_fraction": validation_fraction,
        "boundary": _share("--boundary", boundary),
        "random_state": seed,
        "device": device,
        "verbose": not (quiet or as_json) and sys.stdout.isatty(),
    }
    detector = build(**{name: value for name, value in given.items() if value is not None})
    detector.fit(table, checkpoint=checkpoint)
    detector.save(out)
    summary = _summarise_fit(detector, table, train, out)
    if as_json:
        print_json(summary)
    elif not quiet:
        _print_fit(summary)


@app.command(epilog="Example: compactflow score pump.model new.csv --out scores.csv")
def score(
    model: Model,
    new: New,
    out: Out,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
    device: Device = "auto",
) -> None:
    """Score the rows of a table, in constant memory.

    Columns are matched by name: those the model was fitted on must be there, in any order, and
    others are ignored. The output has one row per input row, in the same order:
    signed_distance (latent units, negative inside the support), decision_function (negative for
    outliers) and is_outlier.
    """
    check_out(out, force=force, inputs=[model, new])
    from compactflow import files, tables

    tables.check_format(out)
    detector, rows = open_model(model, new, device)
    counts: Counter[bool] = Counter()
    scores = _scores(detector, rows, counts)
    files.write_atomically(out, lambda temporary: tables.write(temporary, _SCORES, scores))
    if as_json:
        print_json({"rows": counts.total(), "outliers": counts[True], "scores": str(out)})
    elif not quiet:
        print_line("scored", f"{counts.total()} rows, of which {counts[True]} are outliers")
        print_line("scores", out)


@app.command(
    "set-boundary",
    epilog="Example: compactflow set-boundary pump.model --level 0.99 --out careful.model",
)
def set_boundary(
    model: Model,
    out: Out,
    level: Annotated[
        str | None, typer.Option(help="Share of inliers inside, or 'natural'.")
    ] = None,
    false_positive_rate: Annotated[
        float | None, typer.Option(help="Or the share of inliers to take for outliers.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Move the boundary of a model without a refit, and write it as another.

    Either --level or --false-positive-rate is needed. The boundary is placed by the scores of the
    held-out inliers, which the model keeps; with 'natural' it is that of the latent support.
    """
    check_out(out, force=force, inputs=[model])
    from compactflow import storage

    detector: Any = storage.load(model, device="cpu")
    detector.set_boundary(_share("--level", level), false_positive_rate=false_positive_rate)
    detector.save(out)
    summary = _summarise_boundary(detector, out)
    if as_json:
        print_json(summary)
    elif not quiet:
        _print_boundary(summary)


def open_model(
    model: Path, new: Path, device: str
) -> tuple[OneClassFlow, Iterator[pa.RecordBatch]]:
    """Load a model, and open a table for the columns it was fitted on.

    Raises:
        ValueError: If either is unfit; the message says why.
        OSError: If either cannot be read.
    """
    from compactflow import storage, tables

    tables.check_format(new)
    detector = storage.load(model, device=device)
    if not hasattr(detector, "feature_names_in_"):
        raise ValueError(
            f"{model} was fitted on an array without column names, so columns cannot be matched; "
            "fit it on a table or a data frame, or score in Python"
        )
    return detector, tables.read_batches(new, list(detector.feature_names_in_))


def _share(name: str, text: str | None) -> float | str | None:
    if text is None or text == "natural":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number in (0, 1) or 'natural', got {text!r}") from None


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


def _summarise_fit(
    detector: OneClassFlow, table: pa.Table, train: Path, out: Path
) -> dict[str, Any]:
    import numpy as np

    return {
        "train": str(train),
        "rows": len(table),
        "features": table.column_names,
        "constant": [name for name in table.column_names if np.ptp(table[name].to_numpy()) == 0],
        **_summarise_boundary(detector, out),
    }


def _summarise_boundary(detector: OneClassFlow, out: Path) -> dict[str, Any]:
    inside = detector.calibration_.scores <= -detector.offset_
    return {
        "inside": float(inside.mean()) if len(inside) else None,
        "threshold": -detector.offset_,
        "model": str(out),
    }


def _print_fit(summary: dict[str, Any]) -> None:
    features = len(summary["features"])
    print_line(
        "trained on", f"{summary['rows']} rows and {features} features of {summary['train']}"
    )
    if summary["constant"]:
        names = ", ".join(summary["constant"])
        print_line("constant", f"{names}; a later deviation counts in its own unit")
    _print_boundary(summary)
    model = shlex.quote(summary["model"])
    print_line("next", f"compactflow score {model} NEW.csv --out scores.csv")


def _print_boundary(summary: dict[str, Any]) -> None:
    if summary["inside"] is not None:
        print_line("held-out rows", f"{summary['inside']:.1%} inside the boundary")
    print_line("outliers", f"signed distance above {summary['threshold']:.4g}")
    print_line("model", summary["model"])
