"""One-vs-rest outlier detection on handwritten digits, after table 1 of the paper."""

from __future__ import annotations

import csv
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from compactflow.estimator import OneClassFlow, build
from compactflow.reproduce.parallel import run_all
from compactflow.storage import write_atomically

__all__ = ["DETECTORS", "run", "split"]

Array = NDArray[np.float64]
Row = dict[str, Any]

_CLASSES = range(10)
_SEEDS = 5
_QUICK_STEPS = 300


def _paper(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    return _fit(train, seed, steps, preset="paper").signed_distance(test)


def _default(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    return _fit(train, seed, steps).signed_distance(test)


def _flow(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    detector = _fit(train, seed, steps, latent="gaussian", push="likelihood")
    return -detector.log_density(test)


def _fit(train: Array, seed: int, steps: int | None, **options: Any) -> OneClassFlow:  # noqa: ANN401
    return build(random_state=seed, max_steps=steps, **options).fit(train)


def _knn(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0][:, -1]


def _iforest(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def _ocsvm(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    return -OneClassSVM().fit(train).score_samples(test)


def _pca(train: Array, test: Array, seed: int, steps: int | None) -> Array:
    pca = PCA(0.9).fit(train)
    return np.linalg.norm(test - pca.inverse_transform(pca.transform(test)), axis=1)


#: Each maps training inliers, test rows, a seed and the steps (``None``: the preset's) to scores.
DETECTORS: dict[str, Callable[[Array, Array, int, int | None], Array]] = {
    "paper preset": _paper,
    "default": _default,
    "FLOW": _flow,
    "KNN": _knn,
    "IForest": _iforest,
    "OCSVM": _ocsvm,
    "PCA": _pca,
}


def run(out: Path, *, quick: bool, seed: int) -> Table:
    """Measure every detector on every class; write ``digits.csv`` and ``digits.json``.

    Args:
        out: The folder to write to.
        quick: One seed and at most 300 steps, instead of five and the presets' own.
        seed: The first seed.

    Returns:
        The table of AUROCs, for the terminal.
    """
    seeds = [seed] if quick else [seed + i for i in range(_SEEDS)]
    steps = _QUICK_STEPS if quick else None
    tasks = [
        (name, digit, each, steps) for each in seeds for digit in _CLASSES for name in DETECTORS
    ]
    rows = run_all(measure, tasks, "digits")
    summary = {
        "dataset": "scikit-learn load_digits, pixels in [0, 1]",
        "protocol": "train on half of one class, test on all other rows; AUROC",
        "seeds": seeds,
        "max_steps": steps or "the preset's",
        "auroc": {
            name: {"mean": _mean(rows, name), "std": _std(rows, name)} for name in DETECTORS
        },
        "versions": {
            name: version(name) for name in ("compactflow", "torch", "scikit-learn", "numpy")
        },
        "machine": f"{platform.platform()}, Python {platform.python_version()}",
    }
    write_atomically(out / "digits.csv", lambda path: _write_csv(path, rows))
    write_atomically(out / "digits.json", lambda path: _write_json(path, summary))
    return _table(rows, seeds)


def split(digit: int, seed: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The clean one-class protocol for one class.

    Returns:
        Training inliers (the first half of the class, shuffled), all other rows, and which of
        those are outliers. Pixels are divided by 16, their largest value: one unit for all.
    """
    X, y = load_digits(return_X_y=True)
    inliers = np.random.default_rng(seed).permutation(np.flatnonzero(y == digit))
    train = inliers[: len(inliers) // 2]
    test = np.setdiff1d(np.arange(len(y)), train)
    return X[train] / 16, X[test] / 16, y[test] != digit


def measure(name: str, digit: int, seed: int, steps: int | None) -> Row:
    """AUROC and time of one detector on one class."""
    train, test, outlier = split(digit, seed)
    start = time.perf_counter()
    scores = DETECTORS[name](train, test, seed, steps)
    seconds = time.perf_counter() - start
    return {
        "class": digit,
        "seed": seed,
        "detector": name,
        "auroc": float(roc_auc_score(outlier, scores)),
        "seconds": round(seconds, 3),
    }


def _grid(rows: list[Row], name: str) -> Array:
    """AUROCs of one detector, (classes, seeds)."""
    values = [
        [row["auroc"] for row in rows if row["detector"] == name and row["class"] == digit]
        for digit in _CLASSES
    ]
    return np.array(values)


def _mean(rows: list[Row], name: str) -> float:
    return float(_grid(rows, name).mean())


def _std(rows: list[Row], name: str) -> float:
    """Standard deviation, over the seeds, of the mean over the classes."""
    return float(_grid(rows, name).mean(axis=0).std())


def _write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, summary: Row) -> None:
    path.write_text(json.dumps(summary, indent=2) + "\n")


def _table(rows: list[Row], seeds: list[int]) -> Table:
    """Classes by detectors, with mean, seed spread and mean rank; the best is bold."""
    table = Table("class", *DETECTORS, title=f"AUROC, one-vs-rest digits, {len(seeds)} seed(s)")
    scores = np.array([_grid(rows, name).mean(axis=1) for name in DETECTORS]).T
    for digit, line in zip(_CLASSES, scores, strict=True):
        table.add_row(str(digit), *_best(line, line.max(), ".4f"))
    table.add_section()
    mean, rank = scores.mean(axis=0), rankdata(-scores, axis=1).mean(axis=0)
    table.add_row("mean", *_best(mean, mean.max(), ".4f"))
    if len(seeds) > 1:
        table.add_row("seed std", *(f"{_std(rows, name):.4f}" for name in DETECTORS))
    table.add_row("mean rank", *_best(rank, rank.min(), ".1f"))
    return table


def _best(values: Array, best: float, form: str) -> list[str]:
    return [f"[bold]{v:{form}}[/]" if v == best else f"{v:{form}}" for v in values]
