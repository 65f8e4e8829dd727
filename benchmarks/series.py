"""The default and its peers on series: ``python -m benchmarks.series FOLDER [--every 6]``.

The folder is ``data`` of the Skoltech Anomaly Benchmark (Katser, Kozitsin 2020), or the Numenta
Anomaly Benchmark (Lavin, Ahmad 2015). Of each file of SKAB the first 400 rows train, and the
others are judged: by themselves, and with a window of their past, with the two thermometers, which
drift as the water warms, and without. Of NAB it is the files with known causes, thinned to 6000
rows, of which the first 15 % train, with a window. Each boundary stays where it is, or follows
batches of 16 rows, of which those that are outliers are marked once they are judged.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
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
from benchmarks.results import show
from compactflow.detector.following import Following

Array = NDArray[np.float64]
Marks = NDArray[np.bool_]
Judged = tuple[Array, Array]  # distances of the new rows to the boundary, and of known ones
Judge = Callable[[pd.DataFrame, pd.DataFrame, int], Judged]

_TRAIN, _SIZE, _LEVEL, _BATCH, _MOST = 400, 16, 0.95, 16, 6000
_NO_SENSORS = ["datetime", "anomaly", "changepoint"]
_DRIFTING = ["Temperature", "Thermocouple"]


def _own(train: pd.DataFrame, test: pd.DataFrame, size: int) -> Judged:
    windows = {"size": size} if size else None
    detector = compactflow.build(random_state=0, windows=windows).fit(train)
    both = pd.concat([train, test], ignore_index=True)  # so that the past of the first is known
    known = detector.calibration_.scores - detector.ensemble_.level
    return detector.signed_distance(both)[len(train) :], known


def _peer(make: Callable[[Array], Callable[[Array], Array]]) -> Judge:
    def judge(train: pd.DataFrame, test: pd.DataFrame, size: int) -> Judged:
        both = pd.concat([train, test], ignore_index=True)
        X = (compactflow.windows(both, size).bfill() if size else both).to_numpy()
        rows = len(train)
        held_out = make(X[: rows * 3 // 4])(X[rows * 3 // 4 : rows])
        threshold = np.quantile(held_out, _LEVEL)
        return make(X[:rows])(X[rows:]) - threshold, np.sort(held_out - threshold)

    return judge


def _forest(known: Array) -> Callable[[Array], Array]:
    forest = IsolationForest(random_state=0).fit(known)
    return lambda X: -forest.score_samples(X)


def _knn(known: Array) -> Callable[[Array], Array]:
    scaler = StandardScaler().fit(known)
    nearest = NearestNeighbors(n_neighbors=5).fit(scaler.transform(known))
    return lambda X: nearest.kneighbors(scaler.transform(X))[0].mean(axis=1)


_JUDGES: dict[str, Judge] = {"compactflow": _own, "IForest": _peer(_forest), "KNN": _peer(_knn)}


def _skab(path: Path) -> Iterator[tuple[str, int, pd.DataFrame, Marks, int]]:
    table = pd.read_csv(path, sep=";")
    outlier = table["anomaly"].to_numpy() == 1
    for sensors, left_out in (("all", []), ("without thermometers", _DRIFTING)):
        for size in (0, _SIZE):
            yield sensors, size, table.drop(columns=[*_NO_SENSORS, *left_out]), outlier, _TRAIN


def _nab(path: Path) -> Iterator[tuple[str, int, pd.DataFrame, Marks, int]]:
    table = pd.read_csv(path, parse_dates=["timestamp"])
    table = table[:: -(-len(table) // _MOST)].reset_index(drop=True)
    labels = path.parents[2] / "labels" / "combined_windows.json"
    outlier = np.zeros(len(table), dtype=bool)
    for ends in json.loads(labels.read_text())[f"{path.parent.name}/{path.name}"]:
        outlier |= table["timestamp"].between(*map(pd.Timestamp, ends)).to_numpy()
    train = int(0.15 * len(table))
    kept = ~outlier | (np.arange(len(table)) >= train)
    yield "the one", _SIZE, table[["value"]][kept], outlier[kept], int(kept[:train].sum())


def measure(path: Path) -> list[dict[str, Any]]:
    """AUROC, false alarms and alarms of all ways to judge a file."""
    found = []
    cases = _nab(path) if "realKnownCause" in path.parts else _skab(path)
    for sensors, size, X, marks, rows in cases:
        train, test = X[:rows], X[rows:].reset_index(drop=True)
        outlier = marks[rows:]
        for name, judge in _JUDGES.items():
            still, known = judge(train, test, size)
            for boundary, distances in (
                ("stays", still),
                ("follows", _follow(still, known, outlier)),
            ):
                alarm = distances > 0
                found.append(
                    {
                        "file": f"{path.parent.name}/{path.stem}",
                        "sensors": sensors,
                        "window": size or "none",
                        "detector": name,
                        "boundary": boundary,
                        "auroc": float(roc_auc_score(outlier, distances)),
                        "false alarms": float(alarm[~outlier].mean()),
                        "outliers found": float(alarm[outlier].mean()),
                    }
                )
    return found


def _follow(distances: Array, known: Array, outlier: Marks) -> Array:
    following = Following(np.asarray, known, _LEVEL)
    parts = [slice(i, i + _BATCH) for i in range(0, len(distances), _BATCH)]
    return np.concatenate([following.add(distances[part], outlier[part]) for part in parts])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="Take every so many-th file only.")
    given = parser.parse_args()
    files = sorted(given.folder.glob("[vo]*/*.csv")) or sorted(
        given.folder.glob("data/realKnownCause/*.csv")
    )
    show(row for path in files[:: given.every] for row in measure(path))


if __name__ == "__main__":
    main()
