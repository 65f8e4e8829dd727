"""One-vs-rest outlier detection on handwritten digits, after table 1 of the paper."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM

from compactflow import datasets
from compactflow.estimator import OneClassFlow, build
from compactflow.presets import PRESETS
from compactflow.reproduce.parallel import run_all
from compactflow.reproduce.rows import Row, write_csv
from compactflow.storage import write_atomically

__all__ = ["DETECTORS", "run", "split"]

Array = NDArray[np.float64]
Score = Callable[[Array], Array]

_CLASSES = range(10)
_SEEDS = 5
_QUICK_STEPS = 300


def _paper(train: Array, seed: int, steps: int | None) -> Score:
    return _fit(train, seed, steps, preset="paper").signed_distance


def _default(train: Array, seed: int, steps: int | None) -> Score:
    return _fit(train, seed, steps).signed_distance


def _flow(train: Array, seed: int, steps: int | None) -> Score:
    detector = _fit(train, seed, steps, latent="gaussian", push="likelihood")
    return lambda test: -detector.log_density(test)


def _fit(train: Array, seed: int, steps: int | None, **options: Any) -> OneClassFlow:  # noqa: ANN401
    return build(random_state=seed, max_steps=steps, **options).fit(train)


def _knn(train: Array, seed: int, steps: int | None) -> Score:
    neighbours = NearestNeighbors(n_neighbors=5).fit(train)
    return lambda test: neighbours.kneighbors(test)[0][:, -1]


def _iforest(train: Array, seed: int, steps: int | None) -> Score:
    forest = IsolationForest(random_state=seed).fit(train)
    return lambda test: -forest.score_samples(test)


def _ocsvm(train: Array, seed: int, steps: int | None) -> Score:
    machine = OneClassSVM().fit(train)
    return lambda test: -machine.score_samples(test)


def _pca(train: Array, seed: int, steps: int | None) -> Score:
    pca = PCA(0.9).fit(train)
    return lambda test: np.linalg.norm(test - pca.inverse_transform(pca.transform(test)), axis=1)


#: Each fits training inliers with a seed and a number of steps (``None``: the preset's), and
#: returns what scores test rows.
DETECTORS: dict[str, Callable[[Array, int, int | None], Score]] = {
    "paper preset": _paper,
    "default": _default,
    "FLOW": _flow,
    "KNN": _knn,
    "IForest": _iforest,
    "OCSVM": _ocsvm,
    "PCA": _pca,
}

_SETTINGS = {
    "paper preset": asdict(PRESETS["paper"]),
    "default": asdict(PRESETS[None]),
    "FLOW": "the default with latent='gaussian', push='likelihood'; minus the log-density",
    "KNN": "NearestNeighbors(n_neighbors=5), distance to the fifth",
    "IForest": "IsolationForest()",
    "OCSVM": "OneClassSVM()",
    "PCA": "PCA(0.9), reconstruction error",
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
        "command": "compactflow reproduce digits" + (" --quick" if quick else ""),
        "seeds": seeds,
        "detectors": _SETTINGS,
        "max_steps": steps or "the preset's",
        "auroc": {
            name: {"mean": _mean(rows, name), "std": _std(rows, name)} for name in DETECTORS
        },
        "versions": {
            name: version(name) for name in ("compactflow", "torch", "scikit-learn", "numpy")
        },
        "machine": f"{platform.platform()}, Python {platform.python_version()}, "
        f"{cpu_count()} cores, one thread a fit",
    }
    write_atomically(out / "digits.csv", lambda path: write_csv(path, rows))
    write_atomically(out / "digits.json", lambda path: _write_json(path, summary))
    return _table(rows, seeds)


def split(digit: int, seed: int) -> datasets.Split:
    """The clean one-class protocol for one class.

    Pixels are divided by 16, their largest value: one unit for all.
    """
    X, y = load_digits(return_X_y=True)
    return datasets.split(X / 16, y != digit, seed)


def measure(name: str, digit: int, seed: int, steps: int | None) -> Row:
    """AUROC and time of one detector on one class."""
    train, test, outlier = split(digit, seed)
    start = time.perf_counter()
    score = DETECTORS[name](train, seed, steps)
    fitted = time.perf_counter()
    scores = score(test)
    scored = time.perf_counter()
    return {
        "class": digit,
        "seed": seed,
        "detector": name,
        "auroc": float(roc_auc_score(outlier, scores)),
        "fit_seconds": round(fitted - start, 3),
        "score_seconds": round(scored - fitted, 3),
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
