"""One detector fitted and timed under the same conditions as all others."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from threadpoolctl import threadpool_limits

from compactflow.devices import single_threaded
from compactflow.experiments.benchmark.detectors import Array, Fit

__all__ = ["Measurement", "fit_and_score"]


class Measurement(NamedTuple):
    """What one detector makes of the test rows.

    Attributes:
        scores: Of the test rows, ``(M,)``: the higher, the more outlying.
        boundary: If scores are signed distances, the one beyond which a row is an outlier.
        fit_seconds: To fit.
        score_seconds: To score all test rows.
    """

    scores: Array
    boundary: float | None
    fit_seconds: float
    score_seconds: float


def fit_and_score(fit: Fit, train: Array, test: Array, seed: int) -> Measurement:
    """Fit a detector and score rows, with one thread and without what it prints or warns of.

    Args:
        fit: The detector.
        train: Training inliers, ``(N, D)``.
        test: Test rows, ``(M, D)``.
        seed: Of the detector.
    """
    with single_threaded(), threadpool_limits(1), _quiet():
        start = time.perf_counter()
        score, boundary = fit(train, seed)
        fitted = time.perf_counter()
        scores = score(test)
        end = time.perf_counter()
    return Measurement(scores, boundary, fitted - start, end - fitted)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
