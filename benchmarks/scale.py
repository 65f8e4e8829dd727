"""What many rows cost: ``python -m benchmarks.scale ENGINE ROWS EVERY``.

Generates ROWS rows of 32 columns on the workers of an engine, block by block, one row in a
thousand an outlier, and scores one block in EVERY by the default detector. The counts of p-values
come back and give the discoveries among all rows that were scored, as in the plan of
`docs/scale.md`. Times are of the processor, with one thread; prints JSON.
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
from compactflow.scoring import ArrowScorer
from compactflow.workers import find_workers

Array = NDArray[np.float64]

_COLUMNS = [f"x{j:02}" for j in range(32)]
_BLOCK, _HERE = 100_000, 20_000
_TRAIN = 200_000  # rows, of which 40,000 are held out
_OUTLIERS, _FDR = 1e-3, 0.1


def generate(rows: int, seed: int) -> tuple[Array, NDArray[np.bool_]]:
    """Correlated rows, four columns with a heavy tail, and which are outliers."""
    rng = np.random.default_rng([seed, 1])
    outlier = rng.random(rows, dtype=np.float32) < _OUTLIERS
    mix = np.random.default_rng(0).normal(size=(8, len(_COLUMNS))).astype(np.float32)
    X = rng.standard_normal((rows, 8), dtype=np.float32) @ mix
    X += 0.5 * rng.random(X.shape, dtype=np.float32)
    X[outlier] += 1.5 * rng.standard_normal((outlier.sum(), len(_COLUMNS)))  # against the mix
    X[:, :4] = np.sinh(X[:, :4] / 2)
    return X.astype(np.float64), outlier


def score(scorer: ArrowScorer, X: Array) -> tuple[Array, float]:
    """p-values of rows, and the seconds they took."""
    start = time.process_time()
    batch = pa.record_batch(list(X.T.copy()), names=_COLUMNS)
    p = scorer(batch).column("p_value").to_numpy()
    return p, time.process_time() - start


def block(shared: tuple[ArrowScorer, int, int], number: int) -> dict[str, Any]:
    """Generate a block and, one in so many, score it."""
    scorer, held_out, every = shared
    torch.set_num_threads(1)
    start = time.process_time()
    X, outlier = generate(_BLOCK, number)
    done: dict[str, Any] = {"rows": len(X), "generating": time.process_time() - start}
    if number % every == 0:
        p, seconds = score(scorer, X)
        ranks = np.rint(p * (held_out + 1)).astype(int)
        counts = [np.bincount(r, minlength=held_out + 2) for r in (ranks, ranks[outlier])]
        done |= {"scored": len(X), "scoring": seconds, "counts": np.stack(counts)}
    return done | {"memory": _peak()}


def _peak() -> float:
    """The most memory that this process has had, in MiB, on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def discoveries(counts: Array, held_out: int) -> tuple[int, int]:
    """Benjamini and Hochberg's rows found, and how many are outliers, from counts of p-values."""
    below, outliers = counts.cumsum(axis=1)
    p = np.arange(held_out + 2) / (held_out + 1)
    passing = np.flatnonzero((p * below[-1] <= _FDR * below) & (below > 0))
    last = passing[-1] if len(passing) else 0
    return int(below[last]), int(outliers[last])


def main(engine: str, rows: str, every: str) -> None:
    """Fit, run and print."""
    torch.set_num_threads(1)
    train, outlier = generate(_TRAIN, -1 % 2**32)
    table = pa.table(list(train[~outlier].T.copy()), names=_COLUMNS)
    start = time.process_time()
    detector = compactflow.build(random_state=0).fit(table)
    fitting, held_out = time.process_time() - start, len(detector.calibration_.scores)
    with tempfile.TemporaryDirectory() as folder:
        detector.save(Path(folder, "model"))
        scorer = ArrowScorer(Path(folder, "model"), outputs=["p_value"], keep=[])
    here = score(scorer, generate(_HERE, 0)[0])[1] / _HERE
    tasks, start = range(-(-int(rows) // _BLOCK)), time.perf_counter()
    totals: dict[str, Any] = {"memory": 0.0}
    for done in find_workers(engine).run(block, (scorer, held_out, int(every)), tasks):
        totals["memory"] = max(totals["memory"], done.pop("memory"))
        for name, value in done.items():
            totals[name] = totals.get(name, 0) + value
    found, right = discoveries(totals["counts"], held_out)
    summary = {
        "rows": totals["rows"],
        "rows scored": totals["scored"],
        "wall seconds": time.perf_counter() - start,
        "µs a row generated": 1e6 * totals["generating"] / totals["rows"],
        "µs a row scored": 1e6 * totals["scoring"] / totals["scored"],
        "µs a row scored here": 1e6 * here,
        "MiB of a worker at most": totals["memory"],
        "seconds of the fit": fitting,
        "held-out rows": held_out,
        "outliers": int(totals["counts"][1].sum()),
        "found": found,
        "of which outliers": right,
    }
    print(json.dumps(summary, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
