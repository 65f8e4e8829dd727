"""Fitting, and moving the boundary."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compactflow.cli.app import app
from compactflow.cli.engines import drawn_elsewhere, needing_a_library
from compactflow.cli.inputs import in_file
from compactflow.cli.labels import Labels
from compactflow.cli.options import (
    AsJson,
    By,
    Categorical,
    Context,
    Decimal,
    Device,
    Drop,
    Encoding,
    Engine,
    Force,
    Header,
    Id,
    Label,
    Model,
    Out,
    Outlier,
    Quiet,
    Seed,
    Sep,
    Time,
    Train,
    Weight,
    Window,
    option,
)
from compactflow.cli.output import check_out, print_json, print_line
from compactflow.cli.training import Training, read_training

if TYPE_CHECKING:
    import pyarrow as pa

    from compactflow.detector.estimator import OneClassFlow

__all__ = ["fit", "set_boundary"]


@app.command(epilog="Example: compactflow fit train.csv --out pump.model --drop id")
def fit(
    train: Train,
    out: Out,
    id: Id = None,
    drop: Drop = None,
    categorical: Categorical = None,
    context: Context = None,
    label: Label = None,
    outlier: Outlier = None,
    weight: Weight = None,
    window: Window = None,
    by: By = None,
    time: Time = None,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    header: Header = None,
    backbone: Annotated[str | None, option("The invertible network.", "coupling")] = None,
    latent: Annotated[str | None, option("The support in latent space.", "cube")] = None,
    pull: Annotated[str | None, option("Draws latents in.", "suits latent and push")] = None,
    push: Annotated[str | None, option("Spreads latents.")] = None,
    preset: Annotated[str | None, option("'fast', 'natural' or 'paper'.", False)] = None,
    members: Annotated[int | None, option("Flows in the ensemble.", "suits backbone")] = None,
    max_steps: Annotated[int | None, option("Training steps at most.")] = None,
    batch_size: Annotated[int | None, option("Rows per step and member.")] = None,
    learning_rate: Annotated[float | None, option("Peak learning rate.")] = None,
    validation_fraction: Annotated[float | None, option("Share held out.", "0.1")] = None,
    outlier_share: Annotated[
        float | None, option("Share of the rows that may be outliers.", "0")
    ] = None,
    boundary: Annotated[
        str | None, option("Share of inliers inside, 'natural' or 'bare'.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the state of training here.")
    ] = None,
    max_rows: Annotated[
        int, typer.Option(min=2, help="Draw so many rows of a larger table, by chance.")
    ] = 1_000_000,
    engine: Engine = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Train a detector on a table of inliers and write it to one file.

    Columns may hold numbers, true and false, categories, text, dates, times and gaps: what each
    was taken for is printed where there is other than numbers, and --categorical changes it.
    Columns that are no features are left out with --drop, or with --id if they name the rows.
    With --label, that column is left out, and the rows that it calls outliers train nothing: they
    only make what lies in their direction count as further out. With --weight, a row counts as
    that column says. With --window, rows are a time series, or one for each value of --by, in the
    order of --time: a score is of a row with its past, and the model remembers all this.
    'compactflow plugins' lists the components by name. Rows are outliers beyond the boundary: that
    which keeps the given share of held-out inliers inside; or that of the latent support, with
    'natural' by latents scaled to keep a share inside, with 'bare' as training left them. With
    --checkpoint, the same command goes on where it was killed, to the same model; the folder can
    be removed once the model is written; without it, Ctrl-C ends the training, and the model is
    that of the best weights so far. With --engine, TRAIN may be a folder of Parquet files,
    and rows are drawn, first layers fitted and held-out rows scored elsewhere, to the same model.
    """
    check_out(out, force=force, inputs=[train])
    labels, windows = Labels.of(label, outlier), _windows(window, by, time, engine)
    from compactflow import tables
    from compactflow.workers import find_workers

    workers = None if engine is None else find_workers(engine)
    with drawn_elsewhere(workers, train, max_rows, seed) as source:
        rows = read_training(
            source,
            [*(id or []), *(drop or [])],
            labels,
            weight,
            tables.Dialect(separator=sep, decimal=decimal, encoding=encoding, header=header),
            cells=bool(categorical or context or windows),
            most=sys.maxsize if windows else max_rows,  # whose rows follow each other
            seed=seed,
        )
    from compactflow.detector.building import build

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
        "outlier_share": outlier_share,
        "boundary": _share("--boundary", boundary),
        "categorical": categorical,
        "context": context,
        "windows": windows,
        "random_state": seed,
        "device": device,
        "verbose": not (quiet or as_json),
    }
    detector = build(**{name: value for name, value in given.items() if value is not None})
    summary = _fit_and_save(detector, train, rows, out, checkpoint=checkpoint, engine=workers)
    if as_json:
        print_json(summary)
    elif not quiet:
        _print_fit(summary)


@app.command(
    "set-boundary",
    epilog="Example: compactflow set-boundary pump.model --level 0.99 --out careful.model",
)
def set_boundary(
    model: Model,
    out: Out,
    level: Annotated[
        str | None, typer.Option(help="Share of inliers inside, 'natural' or 'bare'.")
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
    held-out inliers, which the model keeps; with 'natural' it is that of the latent support, by
    latents scaled as the fit left them.
    """
    check_out(out, force=force, inputs=[model])
    from compactflow.detector.loading import load

    detector: Any = load(model, device="cpu")
    detector.set_boundary(_share("--level", level), false_positive_rate=false_positive_rate)
    detector.save(out)
    summary = _summarise_boundary(detector, out)
    if as_json:
        print_json(summary)
    elif not quiet:
        _print_boundary(summary)


def _fit_and_save(
    detector: OneClassFlow,
    train: Path,
    rows: Training,
    out: Path,
    **how: Any,  # noqa: ANN401
) -> dict[str, Any]:
    table, outliers, weights = rows
    y = 1 - 2 * outliers.astype(int)
    with needing_a_library(), in_file(str(train)):
        detector.fit(table, y, sample_weight=weights, **how)
    detector.save(out)
    summary = _summarise_fit(detector, table.filter(~outliers), train, out)
    return summary | _summarise_known(detector, table.filter(outliers))


def _windows(
    size: int | None, by: str | None, time: str | None, engine: str | None
) -> dict[str, Any] | None:
    if size is not None and engine is not None:
        raise ValueError("--engine draws rows by chance, and --window needs all; leave out one")
    if size is not None:
        return {"size": size, "by": by, "time": time}
    if by or time:
        raise ValueError(f"--{'by' if by else 'time'} is of time series; give --window too")
    return None


def _share(name: str, text: str | None) -> float | str | None:
    if text in (None, "natural", "bare"):
        return text
    try:
        return float(text)
    except ValueError:
        words = "a number in (0, 1), 'natural' or 'bare'"
        raise ValueError(f"{name} must be {words}, got {text!r}") from None


def _summarise_fit(
    detector: OneClassFlow, table: pa.Table, train: Path, out: Path
) -> dict[str, Any]:
    ranges, parts = detector.ranges_, detector.encoder_ and detector.encoder_.parts
    assert ranges is not None
    return {
        "train": str(train),
        "rows": len(table),
        "features": [str(name) for name in detector.feature_names_in_],
        "columns": detector.columns_,
        "constant": [
            name
            for p, name in enumerate(detector.names_)
            if ranges.low[p] == ranges.high[p] and (parts is None or parts[p].kind == "number")
        ],
        **_summarise_boundary(detector, out),
    }


def _summarise_known(detector: OneClassFlow, table: pa.Table) -> dict[str, Any]:
    outside = detector.predict(table) == -1 if len(table) else []
    return {"labelled_outliers": len(table), "labelled_outside": int(sum(outside))}


def _summarise_boundary(detector: OneClassFlow, out: Path) -> dict[str, Any]:
    calibration = detector.calibration_
    inside = calibration.scores <= detector.ensemble_.level
    return {
        "inside": float(inside.mean()) if len(inside) else None,
        "held_out": len(inside) if calibration.held_out else 0,
        "calibration": calibration.describe(detector.ensemble_.level),
        "new_inliers": calibration.expect(detector.ensemble_.level),
        "new_inliers_inside": calibration.bounds(detector.ensemble_.level),
        "model": str(out),
    }


def _print_fit(summary: dict[str, Any]) -> None:
    features = len(summary["features"])
    print_line(
        "trained on", f"{summary['rows']} rows and {features} features of {summary['train']}"
    )
    if summary["labelled_outliers"]:
        known, outside = summary["labelled_outliers"], summary["labelled_outside"]
        print_line("outliers", f"{known} rows are labelled so; {outside} of them are outside")
    if set(summary["columns"].values()) != {"number"}:
        for name, taken in summary["columns"].items():
            print_line(name, taken)
    if summary["constant"]:
        names = ", ".join(summary["constant"])
        print_line("constant", f"{names}; a later deviation counts in its own unit")
    _print_boundary(summary)
    model = shlex.quote(summary["model"])
    print_line("next", f"compactflow score {model} NEW.csv --out scores.csv")


def _print_boundary(summary: dict[str, Any]) -> None:
    print_line("calibration", summary["calibration"])
    print_line("new inliers", summary["new_inliers"])
    print_line("model", summary["model"])
