"""How much samples of a detector look like inliers that it has not seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from compactflow.detector.building import build
from compactflow.experiments.benchmark import datasets
from compactflow.experiments.datasets import load_npz
from compactflow.experiments.parallel import run_each
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically
from compactflow.text import cause_of

__all__ = ["measure", "run"]

Array = NDArray[np.float64]

_ROWS = 2000  # inliers of a set at most
_DIGITS = 4  # of a standard deviation; what differs less is equal
_PAIRED = 1000  # rows between which distances are taken
_MEASURES = (
    "deviation",
    "deviation of training rows",
    "deviation of halves",
    "energy",
    "auroc",
    "auroc of training rows",
    "nearest",
)


def run(
    folders: Sequence[Path],
    out: Path,
    *,
    max_steps: int | None = None,
    members: int | None = None,
    score_by: str | None = None,
    seed: int = 0,
) -> Table:
    """Fit a detector to half the inliers of each set, compare samples with the others as CSV.

    Args:
        folders: Of ``.npz`` files with ``X`` and ``y``; ``y == 1`` marks outliers.
        out: The CSV file: see `measure`.
        max_steps: Training steps at most; by default the default's.
        members: Flows; by default the default's.
        score_by: ``"neighbours"`` or ``"support"``; by default the default's.
        seed: Of the halves, the fits and the samples.

    Returns:
        The table: the median, the mean and the worst of each measure over the sets.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a file is no such data set.
    """
    paths = datasets.find(folders)
    options = {"max_steps": max_steps, "members": members, "score_by": score_by}
    rows = []
    for row in run_each(measure, [(path, options, seed) for path in paths], "samples"):
        rows.append(row)
        write_atomically(out, lambda path: write_csv(path, rows))
    return _table(rows)


def measure(path: Path, options: Row, seed: int) -> Row:
    """Fit a detector to one half of a set's inliers, and compare samples with the other half.

    Returns:
        The set's name and size, and, over its features that vary: ``deviation``, the median of
        ``|s / s' - 1|`` for the standard deviations s of samples and s' of the held-out rows;
        ``deviation of training rows``, the same of these, and ``deviation of halves``, of one half
        of the held-out rows from the other: how near a sampler can come; ``energy``, the energy
        distance of samples and held-out rows over that of training and held-out rows; ``auroc`` of
        a gradient-boosted classifier that tells samples from held-out rows, on other rows than it
        learned from, and ``auroc of training rows``, of one that tells these; and ``nearest``, the
        median distance of samples to the nearest training row over that of held-out rows. An
        error is part of the row.
    """
    X, outlier = load_npz(path)
    inliers = np.random.default_rng(seed).permutation(X[~outlier])[:_ROWS]
    train, held_out = np.array_split(inliers, 2)
    row: Row = {"set": path.stem, "rows": len(train), "features": X.shape[1]}
    row |= dict.fromkeys((*_MEASURES, "error"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = build(random_state=seed, **options).fit(train)
        samples = detector.sample(len(held_out), random_state=seed)
        row |= dict(zip(_MEASURES, _compare(samples, train, held_out, seed), strict=True))
    except Exception as error:  # what goes wrong in one must not stop the others
        row["error"] = cause_of(error)
    return row


def _compare(samples: Array, train: Array, held_out: Array, seed: int) -> tuple[float | None, ...]:
    varies = (train.std(axis=0) > 0) & (held_out.std(axis=0) > 0)
    unit = train.std(axis=0)[varies]
    samples, train, held_out = (
        np.round(rows[:, varies] / unit, _DIGITS) for rows in (samples, train, held_out)
    )
    pairs = (samples, held_out), (train, held_out), np.array_split(held_out, 2)
    deviations = [_deviation(*pair) for pair in pairs]
    energy = _energy(samples, held_out) / _energy(train, held_out)
    tree = KDTree(train)
    near, usual = (float(np.median(tree.query(rows)[0])) for rows in (samples, held_out))
    nearest = near / usual if usual > 0 else None
    told = [_tell_apart(rows, held_out, seed) for rows in (samples, train)]
    return *deviations, energy, *told, nearest


def _deviation(one: Array, other: Array) -> float:
    """By how much standard deviations differ from the others, as the median over columns."""
    ours, theirs = one.std(axis=0), other.std(axis=0)
    differences = np.abs(ours / np.where(theirs > 0, theirs, np.inf) - 1)[theirs > 0]
    return float(np.median(differences)) if len(differences) else 0.0


def _energy(one: Array, other: Array) -> float:
    """The energy distance of as many rows of each, the biased one, which is positive."""
    n = min(len(one), len(other), _PAIRED)
    one, other = one[:n], other[:n]
    return float(
        2 * cdist(one, other).mean() - cdist(one, one).mean() - cdist(other, other).mean()
    )


def _tell_apart(samples: Array, held_out: Array, seed: int) -> float:
    rows = np.concatenate([samples, held_out])
    kind = np.arange(len(rows)) < len(samples)
    order = np.random.default_rng(seed).permutation(len(rows))
    classifier = HistGradientBoostingClassifier(random_state=seed, max_iter=50)
    scores = np.empty(len(rows))
    halves = np.array_split(order, 2)
    for learned, asked in (halves, halves[::-1]):
        classifier.fit(rows[learned], kind[learned])
        scores[asked] = classifier.predict_proba(rows[asked])[:, 1]
    return float(roc_auc_score(kind, scores))


def _table(rows: Sequence[Row]) -> Table:
    failed = [row["set"] for row in rows if row["error"]]
    caption = f"failed: {', '.join(failed)}" if failed else None
    table = Table("", "median", "mean", "worst", title=f"{len(rows)} sets", caption=caption)
    for name in _MEASURES:
        values = np.array([row[name] for row in rows if row[name] is not None])
        if len(values):
            worst = values.min() if name == "nearest" else values.max()
            cells = (np.median(values), values.mean(), worst)
            table.add_row(name, *(f"{cell:.3f}" for cell in cells))
    return table
