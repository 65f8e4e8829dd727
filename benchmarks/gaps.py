"""AUROC with cells missing at random: ``python -m benchmarks.gaps FOLDER > docs/tables/gaps.csv``.

Trains on half of the inliers and tests on all other rows, gaps in both. The peers are an isolation
forest and the mean distance to five neighbours, on standardised columns, after scikit-learn's
`KNNImputer`; we take the table as it is. Seed 0.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.impute import KNNImputer
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import compactflow
from benchmarks.results import show
from compactflow.experiments.benchmark.datasets import find
from compactflow.experiments.datasets import load_npz
from compactflow.experiments.rows import Row

Array = NDArray[np.float64]

_SHARES = (0.0, 0.1, 0.3)
_ROWS = 1000  # of training, and of testing, at most


def ours(train: Array, test: Array) -> Array:
    """The default detector, on data frames with gaps."""
    frames = [pd.DataFrame(rows).add_prefix("x") for rows in (train, test)]
    if not np.isnan(train).any():  # a table of numbers, to the detector
        frames = [train, test]
    detector = compactflow.build(random_state=0).fit(frames[0])
    return detector.signed_distance(frames[1])


def neighbours(train: Array, test: Array) -> Array:
    """The mean distance to five neighbours."""
    known, asked = _imputed(train, test)
    return NearestNeighbors(n_neighbors=5).fit(known).kneighbors(asked)[0].mean(axis=1)


def forest(train: Array, test: Array) -> Array:
    """An isolation forest."""
    known, asked = _imputed(train, test)
    return -IsolationForest(random_state=0).fit(known).score_samples(asked)


def _imputed(train: Array, test: Array) -> tuple[Array, Array]:
    pipeline = make_pipeline(StandardScaler(), KNNImputer()).fit(train)
    return pipeline.transform(train), pipeline.transform(test)


DETECTORS = {"compactflow": ours, "KNN": neighbours, "IForest": forest}


def split(path: Path, share: float, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Training rows, test rows and their labels, with a share of the cells missing."""
    X, y = load_npz(path)
    X = X[:, X.std(axis=0) > 0]
    inliers = rng.permutation(np.flatnonzero(~y))
    train, rest = inliers[: len(inliers) // 2], inliers[len(inliers) // 2 :]
    test = rng.permutation(np.concatenate([rest, np.flatnonzero(y)]))[:_ROWS]
    X = np.where(rng.random(X.shape) < share, np.nan, X)
    return X[train[:_ROWS]], X[test], y[test]


def measure(path: Path) -> Iterator[Row]:
    """The AUROC of each detector on a set, at each share."""
    for share in _SHARES:
        train, test, outlier = split(path, share, np.random.default_rng(0))
        for name, score in DETECTORS.items():
            auroc = float(roc_auc_score(outlier, score(train, test)))
            yield {"set": path.stem, "missing": share, "detector": name, "auroc": auroc}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="Take every so many-th set only.")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    show(row for path in find([given.folder])[:: given.every] for row in measure(path))


if __name__ == "__main__":
    main()
