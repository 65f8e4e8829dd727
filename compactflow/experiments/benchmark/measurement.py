"""One detector fitted and timed under the same conditions as all others."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
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
        fit_seconds: To fit, of the processor, so that other work on the machine does not count.
        score_seconds: To score all test rows, likewise.
        memory: By how much the process grew at most, in MiB; ``None`` where that is not known.
    """

    scores: Array
    boundary: float | None
    fit_seconds: float
    score_seconds: float
    memory: float | None


def fit_and_score(fit: Fit, train: Array, test: Array, seed: int) -> Measurement:
    """Fit a detector and score rows, with one thread and without what it prints or warns of.

    Args:
        fit: The detector.
        train: Training inliers, ``(N, D)``.
        test: Test rows, ``(M, D)``.
        seed: Of the detector.
    """
    with single_threaded(), threadpool_limits(1), _quiet():
        before = _start_memory()
        start = time.process_time()
        score, boundary = fit(train, seed)
        fitted = time.process_time()
        scores = score(test)
        end = time.process_time()
    memory = None if before is None else _memory("VmHWM") - before
    return Measurement(scores, boundary, fitted - start, end - fitted, memory)


def _start_memory() -> float | None:
    """Let the peak of resident memory count from now on, and return what is resident, in MiB.

    Only Linux can do that; elsewhere the result is ``None``.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _memory("VmRSS")
    except OSError:
        return None


def _memory(field: str) -> float:
    """A field of this process's status in MiB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
