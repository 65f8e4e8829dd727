"""What a GPU gives: ``python -m benchmarks.gpu`` prints a line of JSON for each figure.

Steps of a training batch, one launch of a kernel after another or captured as one CUDA graph;
fits and scores of many rows, where neighbours are sought as by default and where they are not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import compactflow
from benchmarks.products import products
from benchmarks.sizes import BASE, Size
from benchmarks.steps import make_training_step

Array = NDArray[np.float64]

_ROUNDS = 20
_LARGE = Size(BASE.dim, 65_536)
_SUPPORT: dict[str, Any] = {"preprocessing": "half-whiten", "score_by": "support"}


def main() -> None:
    """Measure on the GPU there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the large fit")
    rows = parser.parse_args().rows
    device = torch.device("cuda")
    tell(device=torch.cuda.get_device_name(device), torch=torch.__version__)
    for size in (BASE, _LARGE):
        measure_steps(size, device)
    for name in ("cpu", "cuda"):
        measure_fit(f"default, {name}", 10_000, 32, 50_000, device=name)
    measure_fit("default, cuda", 200_000, 32, 1_000_000, device="cuda")
    measure_fit("support, cuda", rows, 10, 1_000_000, device="cuda", **_SUPPORT)


def measure_steps(size: Size, device: torch.device) -> None:
    """Time a step with its optimiser, launched kernel by kernel and as one graph."""
    torch.manual_seed(0)
    step = make_training_step("coupling", "stein", size, device)
    eager = median_milliseconds(step)
    alone = median_milliseconds(products(step))
    graph = median_milliseconds(capture(step))
    tell(what=f"step {size}", eager=eager, products=alone, graph=graph)


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Record the kernels of a call as one CUDA graph, after the warm-up that recording needs."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure_fit(what: str, rows: int, dim: int, scored: int, **options: Any) -> None:  # noqa: ANN401
    """Time a fit and a score of other rows, each once, with the memory of the card."""
    torch.cuda.reset_peak_memory_stats()
    detector = compactflow.build(random_state=0, **options)
    start = time.perf_counter()
    detector.fit(make_rows(rows, dim, 0))
    fitted = time.perf_counter() - start
    X = make_rows(scored, dim, 1)
    detector.score_samples(X[:1000])
    start = time.perf_counter()
    detector.score_samples(X)
    seconds = time.perf_counter() - start
    tell(
        what=f"{what}: fit {rows} x {dim}",
        fit=round(fitted, 2),
        rows_per_second=round(scored / seconds),
        GiB=round(torch.cuda.max_memory_allocated() / 2**30, 2),
    )


def make_rows(rows: int, dim: int, seed: int) -> Array:
    """Rows near a curved sheet of three dimensions."""
    turns = np.random.default_rng(0).normal(size=(3, dim))
    rng = np.random.default_rng(seed)
    sheet: Array = np.tanh(rng.normal(size=(rows, 3)) @ turns)
    return sheet + 0.1 * rng.normal(size=(rows, dim))


def median_milliseconds(call: Callable[[], object]) -> float:
    """Time a call by the clock of the device."""
    times = []
    for _ in range(_ROUNDS + 3):
        start, end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return round(statistics.median(times[3:]), 2)


def tell(**figures: object) -> None:
    """Print a line at once, since a run is long."""
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
