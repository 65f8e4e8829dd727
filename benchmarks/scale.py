"""What many rows cost: ``python -m benchmarks.scale ENGINE ROWS``.

Fits one flow, scored by its support, on rows of 8 columns, generates ROWS other rows on the
workers of an engine, block by block, one in a thousand an outlier, and scores all of them. The
counts of p-values come back and give the discoveries, as in the plan of `docs/scale.md`.
Prints a line of JSON at 10⁶ rows, at 3, 10, 30 million and so on, and at the end: so one run tells
how the costs grow. Times are of the processor, with one thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

import compactflow
from benchmarks.memory import kibibytes
from compactflow.scoring import ArrowScorer
from compactflow.workers import find_workers

Array = NDArray[np.float64]

_FACTORS, _DIM = 3, 8
_COLUMNS = [f"x{j}" for j in range(_DIM)]
_BLOCK = 100_000
_HERE = 20_000  # rows scored in this process after ten blocks, to compare
_TRAIN = 400_000  # rows, of which half are held out
_OUTLIERS, _FDR = 1e-3, 0.01
_SMALL: dict[str, Any] = {"preset": "fast", "members": 1, "score_by": "support"}
_LINES = {m * 10**k for k in range(6, 13) for m in (1, 3)}


def generate(rows: int, seed: int) -> tuple[Array, NDArray[np.bool_]]:
    """Correlated rows, two columns with a heavy tail, and which are outliers."""
    rng = np.random.default_rng([seed, 1])
    outlier = rng.random(rows, dtype=np.float32) < _OUTLIERS
    mix = np.random.default_rng(0).normal(size=(_FACTORS, _DIM)).astype(np.float32)
    X = rng.standard_normal((rows, _FACTORS), dtype=np.float32) @ mix
    X += 0.5 * rng.random(X.shape, dtype=np.float32)
    X[outlier] += rng.standard_normal((outlier.sum(), _DIM))  # against the mix
    X[:, :2] = np.sinh(X[:, :2] / 2)
    return X.astype(np.float64), outlier


def score(scorer: ArrowScorer, X: Array) -> tuple[Array, float]:
    """p-values of rows, and the seconds they took."""
    start = time.process_time()
    batch = pa.record_batch(list(X.T.copy()), names=_COLUMNS)
    p = scorer(batch).column("p_value").to_numpy()
    return p, time.process_time() - start


def block(shared: tuple[ArrowScorer, int], number: int) -> dict[str, Any]:
    """Generate a block and score it."""
    scorer, held_out = shared
    torch.set_num_threads(1)
    start = time.process_time()
    X, outlier = generate(_BLOCK, number)
    generating = time.process_time() - start
    p, scoring = score(scorer, X)
    ranks = np.rint(p * (held_out + 1)).astype(int)
    least = int(_FDR * (held_out + 1)) + 1  # at a larger p-value nothing is found
    counts = [np.bincount(r, minlength=least)[:least] for r in (ranks, ranks[outlier])]
    return {
        "counts": np.stack(counts),
        "outliers": int(outlier.sum()),
        "times": np.array([generating, scoring]),
        "memory": kibibytes("VmHWM") / 1024,
    }


def discoveries(counts: NDArray[np.int64], rows: int, held_out: int) -> tuple[int, int]:
    """Benjamini and Hochberg's rows found, and how many are outliers.

    Args:
        counts: How often a p-value is ``k / (held_out + 1)``, for each k up to the rate, among all
            rows and among outliers.
        rows: How many there are.
        held_out: Rows of the calibration.
    """
    below, outliers = counts.cumsum(axis=1)
    p = np.arange(counts.shape[1]) / (held_out + 1)
    passing = np.flatnonzero((p * rows <= _FDR * below) & (below > 0))
    last = passing[-1] if len(passing) else 0
    return int(below[last]), int(outliers[last])


def simulate(engine: str, rows: int, detector: compactflow.OneClassFlow) -> None:
    """Run, and print a line at each of `_LINES`."""
    held_out = len(detector.calibration_.scores)
    with tempfile.TemporaryDirectory() as folder:
        detector.save(Path(folder, "model"))
        scorer = ArrowScorer(Path(folder, "model"), outputs=["p_value"], keep=[])
    done, outliers, memory, start = 0, 0, 0.0, time.perf_counter()
    counts, times, here = np.zeros((), np.int64), np.zeros(2), []
    tasks = range(-(-rows // _BLOCK))
    for found in find_workers(engine).run(block, (scorer, held_out), tasks):
        done += _BLOCK
        counts = counts + found["counts"]
        times += found["times"]
        outliers += found["outliers"]
        memory = max(memory, found["memory"])
        if done % (10 * _BLOCK) == 0 or done >= rows:
            here.append(score(scorer, generate(_HERE, 0)[0])[1] / _HERE)
        if done not in _LINES and done < rows:
            continue
        generating, scoring = 1e6 * times / done
        all_found, right = discoveries(counts, done, held_out)
        line = {
            "rows": done,
            "wall seconds": round(time.perf_counter() - start, 1),
            "µs a row generated": round(generating, 2),
            "µs a row scored": round(scoring, 2),
            "µs a row scored here": round(1e6 * float(np.mean(here[1:] or here)), 2),
            "MiB of a worker at most": round(memory),
            "held-out rows": held_out,
            "outliers": outliers,
            "found": all_found,
            "of which outliers": right,
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)


def main(engine: str, rows: str) -> None:
    """Fit, and simulate."""
    torch.set_num_threads(1)
    train, outlier = generate(_TRAIN, -1 % 2**32)
    table = pa.table(list(train[~outlier].T.copy()), names=_COLUMNS)
    start = time.process_time()
    detector = compactflow.build(random_state=0, validation_fraction=0.5, **_SMALL).fit(table)
    print(json.dumps({"seconds of the fit": round(time.process_time() - start, 1)}), flush=True)
    simulate(engine, int(rows), detector)


if __name__ == "__main__":
    main(*sys.argv[1:])
