"""Watching rows for a change."""

from __future__ import annotations

from math import exp
from typing import Annotated, Any

import typer

from compactflow.cli.app import app
from compactflow.cli.inputs import columns_of, open_model, read_rows
from compactflow.cli.options import (
    AsJson,
    Decimal,
    Device,
    Encoding,
    Header,
    Model,
    New,
    Quiet,
    Seed,
    Sep,
)
from compactflow.cli.output import print_json, print_line

__all__ = ["watch"]


@app.command(epilog="Example: compactflow watch pump.model new.csv --alpha 0.001")
def watch(
    model: Model,
    new: New,
    alpha: Annotated[
        float, typer.Option(help="The probability of a false alarm, over all rows.")
    ] = 0.01,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    header: Header = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    device: Device = "auto",
) -> None:
    """Say whether rows, in the order of the table, have ceased to be like the inliers.

    A monitor bets, row by row, that they are unlike the rows held out of training. If nothing has
    changed, its stake ever reaches 1/alpha with probability at most alpha, however long the table.
    Of rows that are seen with their past, those count that share no window. The stake is told, and
    the first row by which it was reached (the first is 1).
    """
    from compactflow import tables
    from compactflow.detector.settings import check_share
    from compactflow.encoding.windows import Windows

    check_share("--alpha", alpha)
    dialect = tables.Dialect(separator=sep, decimal=decimal, encoding=encoding, header=header)
    detector = open_model(model, device)
    detector.calibration_.check_held_out("watches")
    ensemble, monitor = detector.ensemble_, detector.monitor(seed=seed)
    changed, seen = None, 0
    for rows in read_rows(
        new,
        *columns_of(detector),
        "watching",
        encoder=detector.encoder_,
        order=Windows.apart,
        dialect=dialect,
        show=not (quiet or as_json),
        quiet=quiet,
    ):
        scores = ensemble.signed_distance(rows.X) + ensemble.level
        for row in rows.sequence:
            monitor.add_scores(scores[[row]])
            if changed is None and monitor.drifted(alpha):
                changed = seen + int(row) + 1
        seen += len(scores)
    martingale = monitor.martingale
    summary: dict[str, Any] = {
        "rows": seen,
        "changed": changed is not None,
        "row": changed,
        "log_stake": martingale.log_value,
        "log_peak": martingale.log_peak,
    }
    if as_json:
        print_json(summary)
        return
    said = "no change" if changed is None else f"a change, by row {changed}"
    print_line("watched", f"{seen} rows: {said}")
    print_line(
        "stake", f"at most {exp(min(martingale.log_peak, 700)):.3g}, of {1 / alpha:g} needed"
    )
