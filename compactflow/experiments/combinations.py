"""Every backbone with every latent on one data set."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table
from sklearn.metrics import roc_auc_score

from compactflow.detector.building import build
from compactflow.experiments import datasets
from compactflow.experiments.parallel import run_all
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically
from compactflow.plugins import Kind, registry
from compactflow.text import cause_of

__all__ = ["run"]

_STATUSES = ("built-in", "plugin")


def run(data: Path, out: Path, *, max_steps: int | None = None, seed: int = 0) -> Table:
    """Fit every backbone with every latent, plugins included, and write the table as CSV.

    Those that are made of others, such as a chain, are left out.

    Args:
        data: An ``.npz`` file with ``X`` and ``y``; ``y == 1`` marks outliers. The clean one-class
            protocol applies.
        out: The CSV file.
        max_steps: Training steps at most; by default the default's.
        seed: Of the split and the fits.

    Returns:
        The table: AUROC of the signed distance, fit time in seconds, and the largest relative
        error of decoding encoded test rows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such data set.
    """
    datasets.load_npz(data)
    pairs = itertools.product(_names("backbone"), _names("latent"))
    tasks = [(data, backbone, latent, max_steps, seed) for backbone, latent in pairs]
    rows = run_all(measure, tasks, "combinations")
    write_atomically(out, lambda path: write_csv(path, rows))
    return _table(rows, f"{data.stem}, seed {seed}, one thread a fit")


def measure(data: Path, backbone: str, latent: str, max_steps: int | None, seed: int) -> Row:
    """Fit one backbone with one latent; an error is part of the row."""
    train, test, outlier = datasets.split(*datasets.load_npz(data), seed)
    row: Row = {"backbone": backbone, "latent": latent, "auroc": None, "untrained_auroc": None}
    row |= {"fit_seconds": None, "decode_error": None, "error": ""}
    try:
        parts: Row = {"backbone": backbone, "latent": latent, "random_state": seed}
        untrained = build(**parts, max_steps=1, learning_rate=1e-12).fit(train)
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            detector = build(**parts, max_steps=max_steps).fit(train)
        row["fit_seconds"] = time.perf_counter() - start
        row["error"] = "; ".join(str(each.message) for each in caught)
        row["auroc"] = roc_auc_score(outlier, detector.signed_distance(test))
        row["untrained_auroc"] = roc_auc_score(outlier, untrained.signed_distance(test))
        decoded = detector.inverse_transform(detector.transform(test))
        error = np.linalg.norm(decoded - test, axis=1) / (1e-12 + np.linalg.norm(test, axis=1))
        row["decode_error"] = float(error.max())
    except (Exception, SystemExit) as error:  # what goes wrong in one must not stop the others
        row["error"] = cause_of(error)
    return row


def _names(kind: Kind) -> list[str]:
    return [
        row.name
        for row in registry.available(kind)
        if row.status in _STATUSES and row.spec and "composition" not in row.spec.tags
    ]


def _table(rows: Sequence[Row], title: str) -> Table:
    headers = ("backbone", "latent", "AUROC", "untrained", "fit, s", "decode error", "")
    notes = sum(bool(row["error"]) for row in rows)
    caption = f"* {notes} with a warning or an error: see the CSV" if notes else None
    table = Table(*headers, title=title, caption=caption)
    for row in rows:
        *values, note = row.values()
        table.add_row(*map(_text, values), "*" if note else "")
    return table


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if value < 1e-3 else f"{value:.4g}"
    return str(value) if value is not None else ""
