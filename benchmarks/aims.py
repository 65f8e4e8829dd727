"""What the first table of `docs/benchmarks.md` is made of: ``python -m benchmarks.aims``.

Everything is timed by the clock, in as many threads as torch takes by itself, what is compared in
turn, and medians are over the passes. Run it on a machine that does nothing else; it prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer
from numpy.typing import NDArray

import compactflow
from benchmarks.costs import draw
from benchmarks.memory import in_a_fresh_process, kibibytes
from benchmarks.peers import COMPILED
from benchmarks.products import products
from benchmarks.sizes import BASE
from benchmarks.steps import make_step
from compactflow.experiments.benchmark.datasets import find
from compactflow.experiments.benchmark.detectors import load
from compactflow.experiments.datasets import load_npz, split
from compactflow.training.judge import Judge

Array = NDArray[np.float64]
Values = dict[str, float]

_PRESETS: dict[str, dict[str, Any]] = {"default": {}, "fast": {"preset": "fast"}}
_SETS = 9  # tables that are fitted, by a hash of their names
_REFERENCES, _SCORED = 20_000, 50_000
_SECONDS = 0.3  # of a pass of a call that takes less
_STEPS = ("coupling likelihood", "coupling stein", "coupling mirror", "FrEIA likelihood")
_RESIDUAL = ("iresnet stein", "normflows residual likelihood")
_WORLD = "import {}, time; start = time.perf_counter(); import compactflow; compactflow.build(); "


def in_turn(calls: dict[str, Callable[[], object]], passes: int) -> dict[str, list[float]]:
    """The seconds of each call, one of each in a pass, after a first that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    rounds = {}
    for name, call in calls.items():
        call()
        rounds[name] = max(1, min(30, int(_SECONDS / _clock(call))))
    for _ in range(passes):
        for name, call in calls.items():
            seconds[name].append(median(_clock(call) for _ in range(rounds[name])))
    return seconds


def _clock(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _ratio(seconds: dict[str, list[float]], one: str, other: str) -> float:
    return median(a / b for a, b in zip(seconds[one], seconds[other], strict=True))


def fits(passes: int, data: list[Path]) -> Values:
    """Fits of small tables, and the share of the checks in one."""
    values: Values = {}
    if data:
        files = sorted(find(data), key=lambda path: sha256(path.stem.encode()).digest())
        tables = [split(*load_npz(path), 0).train for path in files[:_SETS]]
        for name, options in _PRESETS.items():
            # Of each table the first fit: a second one finds the memory that the first has left.
            seconds = [_clock(_fit(table, options)) for table in tables]
            values[f"{name} fit, median of {_SETS} sets, s"] = median(seconds)
    X = draw(500, 0)[:, :10]
    calls = {name: _fit(X, options) for name, options in _PRESETS.items()}
    for name, seconds in in_turn(calls, passes).items():
        values[f"{name} fit of 500 x 10, s"] = median(seconds)
    shares = []
    for _ in range(passes):
        with _checks() as checks:
            whole = _clock(calls["default"])
        shares.append(sum(checks) / whole)
    return values | {"share of the checks": median(shares)}


def _fit(X: Array, options: dict[str, Any]) -> Callable[[], object]:
    return lambda: compactflow.build(random_state=0, **options).fit(X)


@contextmanager
def _checks() -> Iterator[list[float]]:
    """Note the seconds that the checks of training take, with their beginning."""
    seconds: list[float] = []

    def noted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            start = time.perf_counter()
            result = function(*args)
            seconds.append(time.perf_counter() - start)
            return result

        return call

    first, check = noted(Judge.__init__), noted(Judge.check)
    with patch.object(Judge, "__init__", first), patch.object(Judge, "check", check):
        yield seconds


def scores(passes: int, _: list[Path]) -> Values:
    """Rows scored in a second by ours and by peers, and the time of a single row."""
    train, new = draw(_REFERENCES, 0), draw(_SCORED, 1)
    calls: dict[str, Callable[[], object]] = {}
    latency: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, options in _PRESETS.items():
            # How well it is trained makes no difference to the time of a score.
            detector = compactflow.build(random_state=0, max_steps=10, **options).fit(train)
            detector.save(Path(folder, name))
            loaded = compactflow.load(Path(folder, name))
            calls[name] = partial(loaded.score_samples, new)
            latency[name] = partial(loaded.score_samples, new[:1])
    for name in ("IForest", "KNN"):
        calls[name] = partial(load(name)(train, 0).score, new)
    seconds = in_turn(calls, passes)
    values = {
        f"{name} score of 50,000 x 32, rows/s": _SCORED / median(each)
        for name, each in seconds.items()
    }
    for peer in ("IForest", "KNN"):
        values |= {f"{name} score / {peer}'s": _ratio(seconds, peer, name) for name in _PRESETS}
    for name, each in in_turn(latency, passes).items():
        values[f"{name} score of one row, ms"] = 1e3 * median(each)
    return values


def wide(_: int, __: list[Path]) -> Values:
    """Fits of wide tables, each in a process of its own, and the size of a model file."""
    values: Values = {}
    for shape in ((2000, 2000), (2500, 512)):
        seconds, gigabytes = in_a_fresh_process(_wide_fit, *shape)
        what = "{:,} x {:,}".format(*shape)
        values |= {f"fit of {what}, s": seconds, f"fit of {what}, GB": gigabytes}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model")
        X = np.random.default_rng(0).normal(size=(2000, 400))
        compactflow.build(random_state=0, max_steps=1).fit(X).save(file)
        return values | {"model file of 400 columns, MB": file.stat().st_size / 1e6}


def _wide_fit(rows: int, dim: int) -> tuple[float, float]:
    """Seconds of a fit, and the most memory of the process, libraries and rows too."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 20)) @ rng.normal(size=(20, dim)) + rng.normal(size=(rows, dim))
    seconds = _clock(_fit(X, {}))
    return seconds, kibibytes("VmHWM") * 1024 / 1e9


def steps(passes: int, _: list[Path]) -> Values:
    """Training steps of coupling networks beside FrEIA's and beside their products alone."""
    torch.manual_seed(0)
    calls: dict[str, Callable[[], object]] = {name: _step(name) for name in _STEPS}
    calls |= {name + ", products alone": products(calls[name]) for name in _STEPS}
    seconds = in_turn(calls, passes)
    values = {f"{name} step, ms": 1e3 * median(seconds[name]) for name in _STEPS}
    for name in _STEPS[:3]:
        values[f"{name} step / FrEIA's likelihood"] = _ratio(seconds, name, _STEPS[3])
        own = _ratio(seconds, name, name + ", products alone")
        values[f"{name} step / its products"] = own
    return values


def compiled(passes: int, _: list[Path]) -> Values:
    """The same steps compiled, which takes a minute before the first."""
    torch.manual_seed(0)
    names = [name.replace("coupling", COMPILED) for name in _STEPS]
    seconds = in_turn({name: _step(name) for name in names}, passes)
    return {
        f"{name} step / FrEIA's likelihood": _ratio(seconds, name, names[3]) for name in names[:3]
    }


def residual(passes: int, _: list[Path]) -> Values:
    """A training step of an i-ResNet beside one of normflows' residual flow."""
    torch.manual_seed(0)
    seconds = in_turn({name: _step(name) for name in _RESIDUAL}, passes)
    values = {f"{name} step, ms": 1e3 * median(seconds[name]) for name in _RESIDUAL}
    return values | {"iresnet stein, times as fast": _ratio(seconds, *_RESIDUAL[::-1])}


def _step(name: str) -> Callable[[], object]:
    network, push = name.rsplit(" ", 1)
    return make_step(network, push, BASE, torch.device("cpu"))


def imports(passes: int, _: list[Path]) -> Values:
    """What a fresh process takes to import and build, beside what others' libraries take."""
    beside = {"torch": "torch", "torch and scikit-learn": "torch, sklearn.ensemble"}
    values: Values = {}
    for name, modules in beside.items():
        program = _WORLD.format(modules) + "print(time.perf_counter() - start)"
        found = [
            float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(passes)
        ]
        values[f"import beside {name}, s"] = median(found)
    return values


_PARTS = {each.__name__: each for each in (fits, scores, wide, steps, residual, compiled, imports)}


def main(
    data: Annotated[list[Path] | None, typer.Option(help="A folder of data sets.")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(_PARTS)}.")] = None,
    passes: Annotated[int, typer.Option(help="How often everything is timed.")] = 3,
) -> None:
    """Measure and print."""
    values: Values = {}
    began = {"load before": round(os.getloadavg()[0], 2), "threads": torch.get_num_threads()}
    for name, part in _PARTS.items():
        if only is None or name in only:
            start = time.perf_counter()
            values |= part(passes, data or [])
            typer.echo(f"{name}: {time.perf_counter() - start:.0f} s", err=True)
    values = {name: float(f"{value:.4g}") for name, value in values.items()}
    typer.echo(json.dumps({**began, "values": values}, indent=1))


if __name__ == "__main__":
    typer.run(main)
