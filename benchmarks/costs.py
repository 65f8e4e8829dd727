"""The constants of `docs/scale.md`: ``python -m benchmarks.costs rows``, ``fit`` or ``memory``.

``rows``: what the default takes to score a row of 32 columns, by torch and by ``onnxruntime`` in
turn, as processor time of one thread, and what a row takes on disk. ``fit``: how long a fit takes
on two workers and on one, by the clock, in turn, the best of each; behind it stands ``ray`` or
``processes``. ``memory``: what the commands fit and score take at most for a Parquet file of as
many rows as stand behind it, with 10 columns. Prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

import compactflow
from compactflow.scoring import ArrowScorer
from compactflow.workers import Result, Shared, Task, Workers, find_workers

_DIM, _FACTORS = 32, 8
_TRAIN, _SCORED, _RUNS = 20_000, 4096, 5
_FIT, _REPEATS = 100_000, 2
_BLOCK, _NARROW = 100_000, 10  # rows and columns of a row group


def draw(rows: int, seed: int) -> NDArray[np.float64]:
    """Correlated rows."""
    rng = np.random.default_rng([seed, 2])
    mix = np.random.default_rng(0).normal(size=(_FACTORS, _DIM))
    return rng.normal(size=(rows, _FACTORS)) @ mix + 0.3 * rng.normal(size=(rows, _DIM))


def table(X: NDArray[np.float64]) -> pa.Table:
    """The rows as a table."""
    return pa.table({f"x{j:02}": column for j, column in enumerate(X.T.copy())})


def rows() -> dict[str, Any]:
    """What a row costs."""
    torch.set_num_threads(1)
    detector = compactflow.build(random_state=0).fit(table(draw(_TRAIN, 0)))
    new = table(draw(_SCORED, 1))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("saved", "exported.onnx", "in", "out")]
        saved, exported, read, written = paths
        detector.save(saved)
        detector.export(exported)
        scorers = {path.name: ArrowScorer(path, keep=[]) for path in (saved, exported)}
        found = {name: scorer(new)["score"].to_numpy() for name, scorer in scorers.items()}
        times: dict[str, list[float]] = {name: [] for name in scorers}
        for _ in range(_RUNS):
            for name, scorer in scorers.items():
                start = time.process_time()
                scorer(new)
                times[name].append((time.process_time() - start) / len(new))
        pq.write_table(new, read)
        pq.write_table(scorers["saved"](new), written)
        sizes = {path.name: path.stat().st_size for path in paths}
    one, other = found.values()
    return {
        "torch_us": 1e6 * float(np.median(times["saved"])),
        "onnx_us": 1e6 * float(np.median(times["exported.onnx"])),
        "onnx_difference": float((np.abs(one - other) / np.maximum(1, np.abs(one))).max()),
        "onnx_decisions_that_differ": int(((one > 0) != (other > 0)).sum()),
        "row_bytes": sizes["in"] / len(new),
        "score_bytes": sizes["out"] / len(new),
        "model_mb": sizes["saved"] / 1e6,
        "onnx_mb": sizes["exported.onnx"] / 1e6,
        "held_out": len(detector.calibration_.scores),
    }


class _Processes(Workers):
    """Processes of this machine."""

    def __init__(self, count: int) -> None:
        self._pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))

    def run(
        self, function: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task]
    ) -> Iterable[Result]:
        """See `Workers.run`."""
        yield from self._pool.map(function, [shared] * len(tasks), tasks)


@contextmanager
def _workers(engine: str, count: int) -> Iterator[Workers]:
    """So many workers that have started."""
    if engine == "processes":
        processes = _Processes(count)
        list(processes.run(_start, None, range(count)))
        yield processes
        processes._pool.shutdown()
        return
    import ray

    ray.init(num_cpus=count, include_dashboard=False, log_to_driver=False)
    found = find_workers(engine)
    list(found.run(_start, None, range(count)))
    yield found
    ray.shutdown()


def _start(_: None, __: int) -> None:
    torch.set_num_threads(1)
    time.sleep(1)  # so that each of the workers gets one


def fit(engine: str) -> dict[str, Any]:
    """How long a fit takes on two workers and on one."""
    torch.set_num_threads(1)
    X, seconds = draw(_FIT, 0), {1: [], 2: []}  # type: tuple[Any, dict[int, list[float]]]
    scores = []
    for _ in range(_REPEATS):
        for count in seconds:
            with _workers(engine, count) as workers:
                start = time.perf_counter()
                detector = compactflow.build(random_state=0).fit(X, engine=workers)
                seconds[count].append(time.perf_counter() - start)
                scores.append(detector.signed_distance(X[:100]))
    assert all(np.array_equal(scores[0], each) for each in scores)
    one, two = (min(each) for each in seconds.values())
    return {
        "engine": engine,
        "rows": _FIT,
        "one_s": one,
        "two_s": two,
        "ratio": two / one,
        "load": os.getloadavg()[1],
    }


def memory(count: str) -> dict[str, Any]:
    """What the command line takes for a file of so many rows, with a small model."""
    with tempfile.TemporaryDirectory() as folder:
        file, model, out = (
            Path(folder, name) for name in ("rows.parquet", "model", "out.parquet")
        )
        first = table(draw(_BLOCK, 0)[:, :_NARROW])
        with pq.ParquetWriter(file, first.schema) as writer:
            for block in range(int(count) // _BLOCK):
                writer.write_table(table(draw(_BLOCK, block)[:, :_NARROW]))
        small = ["--members", "1", "--max-steps", "20"]
        fitted = _run("fit", file, "--out", model, "--max-rows", "200000", *small)
        scored = _run("score", model, file, "--out", out)
        return {
            "rows": int(count),
            "file_mb": file.stat().st_size / 1e6,
            "fit": fitted,
            "score": scored,
        }


def _run(*arguments: str | Path) -> dict[str, float]:
    """Memory at most and times of a command of compactflow."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "compactflow", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return {
        "mib": used.ru_maxrss / 1024,
        "processor_s": used.ru_utime + used.ru_stime,
        "wall_s": time.perf_counter() - start,
    }


def main(what: str, *arguments: str) -> None:
    """Measure and print."""
    parts: dict[str, Callable[..., dict[str, Any]]] = {"rows": rows, "fit": fit, "memory": memory}
    found = parts[what](*arguments)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
