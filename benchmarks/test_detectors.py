"""Whole detectors: rows scored per second, and fit and score end to end."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from compactflow.experiments.benchmark.detectors import find_absent, fit_ours, load

Array = NDArray[np.float64]
Record = Callable[..., None]

_DIM = 32
_REFERENCES = 20_000  # rows that neighbours are sought among
_OUTLIERS = 0.05


@cache
def _sets(rows: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Training inliers, test rows and which of these are outliers.

    Inliers lie near a curved sheet of 5 dimensions. An outlier has another row's value in half
    of its features, so that each feature by itself looks normal.
    """
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 64)), rng.normal(size=(64, _DIM)) / 8

    def inliers(n: int) -> Array:
        sheet: Array = np.tanh(rng.normal(size=(n, 5)) @ first) @ second
        return sheet + 0.1 * rng.normal(size=(n, _DIM))

    train, test = inliers(rows), inliers(rows)
    outlier = rng.random(rows) < _OUTLIERS
    swapped = np.arange(_DIM) % 2 == 0
    test[np.ix_(outlier, swapped)] = inliers(int(outlier.sum()))[:, swapped]
    return train, test, outlier


@pytest.mark.parametrize("name", ["compactflow", "IForest", "KNN"])
def test_throughput(
    request: pytest.FixtureRequest,
    benchmark: Any,  # noqa: ANN401
    record: Record,
    name: str,
) -> None:
    """Scoring 50,000 rows, or with ``--full`` a million, after a fit on 20,000."""
    rows = 1_000_000 if request.config.getoption("full") else 50_000
    train, _, _ = _sets(_REFERENCES)
    # How well it is trained makes no difference to the time of a score.
    fit = partial(fit_ours, max_steps=10) if name == "compactflow" else load(name)
    score = fit(train, 0).score
    X = np.random.default_rng(1).normal(size=(rows, _DIM))
    record(f"score {rows} rows D={_DIM}, cpu", name, reference="IForest", dim=_DIM, rows=rows)
    benchmark.pedantic(score, (X,), rounds=1)
    benchmark.extra_info["rows_per_second"] = rows / benchmark.stats.stats.median


@pytest.mark.parametrize(
    "name",
    ["compactflow", "IForest", "KNN", "LOF", "PCA", "Mahalanobis", "ECOD", "COPOD", "HBOS"],
)
def test_end_to_end(
    request: pytest.FixtureRequest,
    benchmark: Any,  # noqa: ANN401
    record: Record,
    name: str,
) -> None:
    """Fit and score 10,000 rows, or with ``--full`` 100,000, with the AUROC reached."""
    if absent := find_absent([name]):
        pytest.skip(absent[name])
    rows = 100_000 if request.config.getoption("full") else 10_000
    train, test, outlier = _sets(rows)
    fit = load(name)
    group = f"fit and score {rows} rows D={_DIM}, cpu"
    record(group, name, reference="IForest", dim=_DIM, rows=rows)
    scores = benchmark.pedantic(lambda: fit(train, 0).score(test), rounds=1)
    benchmark.extra_info["auroc"] = float(roc_auc_score(outlier, scores))
