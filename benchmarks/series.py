"""The default and its peers on the valve rig of SKAB: ``python -m benchmarks.series FOLDER``.

The folder is ``data`` of the Skoltech Anomaly Benchmark (Katser, Kozitsin 2020). Of each file the
first 400 rows train, and the others are judged: by themselves, and with a window of their past,
with the two thermometers, which drift as the water warms, and without.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

import compactflow

Array = NDArray[np.float64]
Judged = tuple[Array, NDArray[np.bool_]]
Judge = Callable[[pd.DataFrame, pd.DataFrame, int], Judged]

_TRAIN, _SIZE, _LEVEL = 400, 16, 0.95
_NO_SENSORS = ["datetime", "anomaly", "changepoint"]
_DRIFTING = ["Temperature", "Thermocouple"]


def _own(train: pd.DataFrame, test: pd.DataFrame, size: int) -> Judged:
    windows = {"size": size} if size else None
    detector = compactflow.build(random_state=0, windows=windows).fit(train)
    both = pd.concat([train, test], ignore_index=True)  # so that the past of the first is known
    scores: Array = detector.signed_distance(both)[len(train) :]
    return scores, scores > 0


def _peer(make: Callable[[Array], Callable[[Array], Array]]) -> Judge:
    def judge(train: pd.DataFrame, test: pd.DataFrame, size: int) -> Judged:
        both = pd.concat([train, test], ignore_index=True)
        X = (compactflow.windows(both, size).bfill() if size else both).to_numpy()
        known, held_out = X[: _TRAIN * 3 // 4], X[_TRAIN * 3 // 4 : _TRAIN]
        threshold = np.quantile(make(known)(held_out), _LEVEL)
        scores = make(X[:_TRAIN])(X[_TRAIN:])
        return scores, scores > threshold

    return judge


def _forest(known: Array) -> Callable[[Array], Array]:
    forest = IsolationForest(random_state=0).fit(known)
    return lambda X: -forest.score_samples(X)


def _knn(known: Array) -> Callable[[Array], Array]:
    scaler = StandardScaler().fit(known)
    nearest = NearestNeighbors(n_neighbors=5).fit(scaler.transform(known))
    return lambda X: nearest.kneighbors(scaler.transform(X))[0].mean(axis=1)


_JUDGES: dict[str, Judge] = {"default": _own, "IForest": _peer(_forest), "KNN": _peer(_knn)}


def measure(path: Path) -> list[dict[str, Any]]:
    """AUROC, false alarms and alarms of all ways to judge a file."""
    table = pd.read_csv(path, sep=";")
    outlier = table["anomaly"].to_numpy()[_TRAIN:] == 1
    found = []
    for sensors, left_out in (("all", []), ("without thermometers", _DRIFTING)):
        X = table.drop(columns=[*_NO_SENSORS, *left_out])
        train, test = X[:_TRAIN], X[_TRAIN:].reset_index(drop=True)
        for size in (0, _SIZE):
            for name, judge in _JUDGES.items():
                scores, alarm = judge(train, test, size)
                found.append(
                    {
                        "sensors": sensors,
                        "window": size or "none",
                        "detector": name,
                        "AUROC": roc_auc_score(outlier, scores),
                        "false alarms": alarm[~outlier].mean(),
                        "outliers found": alarm[outlier].mean(),
                    }
                )
    return found


def main() -> None:
    """Print the means over the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="Take every so many-th file only.")
    given = parser.parse_args()
    files = sorted(given.folder.glob("[vo]*/*.csv"))[:: given.every]
    rows = [row for path in files for row in measure(path)]
    means = pd.DataFrame(rows).groupby(["sensors", "window", "detector"], sort=False).mean()
    print(f"{len(files)} files\n{means.round(3).to_string()}")


if __name__ == "__main__":
    main()
