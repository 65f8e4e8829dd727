"""The checks of an engine, by small tasks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from compactflow.detector.estimator import OneClassFlow
from compactflow.engines.base import Engine
from compactflow.testing.results import Checks, SkipCheck, collect, require

__all__ = ["CHECKS"]

CHECKS: Checks = {}
_check = collect(CHECKS)

Make: TypeAlias = Callable[[], Engine]

_TASKS = 12


@_check
def gives_results_in_order(make: Make) -> None:
    """It gives the results of 0, 1 and 12 tasks in their order, whichever is done first."""
    engine = make()
    for n in (0, 1, _TASKS):
        tasks = list(range(n))
        found = list(engine.run(_slow_first, 100, tasks))
        require(found == [100 + task for task in tasks], f"{n} tasks give {found}")


@_check
def runs_again(make: Make) -> None:
    """It runs a second time, with another function and other tasks."""
    engine = make()
    first = list(engine.run(_slow_first, 0, [1, 2]))
    second = list(engine.run(_joined, "a", ["b", "c", "d"]))
    require((first, second) == ([1, 2], ["ab", "ac", "ad"]), f"it gives {first}, then {second}")


@_check
def raises_what_a_call_raises(make: Make) -> None:
    """What a call raises is raised, with its words, and no result is lost without one."""
    try:
        list(make().run(_fails_at, 3, list(range(5))))
    except Exception as error:
        require("task 3 is wrong" in str(error), f"the call's words are lost in: {error!r}")
        return
    require(False, "a call raises, and the engine does not")


@_check
def keeps_arrays(make: Make) -> None:
    """Arrays and None go to the workers and come back as they were."""
    rows = np.arange(6.0).reshape(2, 3)
    (found,) = make().run(_echo, {"rows": rows, "none": None}, [np.float32(2.0)])
    kept = np.array_equal(found[0]["rows"], rows) and found[0]["none"] is None
    require(kept and found[1] == 2, f"a call that returns its arguments gives {found}")


@_check
def scores_files_in_order(make: Make) -> None:
    """Files of several row groups are scored to files with all rows in their order."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SkipCheck("pyarrow is not installed") from error
    table = pa.table({"x": np.arange(100.0), "name": [f"row {i}" for i in range(100)]})
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in", Path(folder) / "out"
        source.mkdir()
        for i, part in enumerate((table.slice(0, 60), table.slice(60))):
            pq.write_table(part, source / f"{i}.parquet", row_group_size=25)
        make().score(cast("Any", _doubled), source, target)
        found = pq.read_table(target).to_pydict()
    wanted = _doubled(table).to_pydict()
    require(found == wanted, "the scored files do not hold the rows in their order")


@_check
def fits_as_one_process_does(make: Make) -> None:
    """A detector that it helps to fit scores as one that is fitted without it."""
    X = np.random.default_rng(0).normal(size=(80, 3)) * [1, 10, 100] + 50
    plain, helped = (
        OneClassFlow(max_steps=2, members=2, random_state=0).fit(X, engine=engine)
        for engine in (None, make())
    )
    error = float(np.abs(plain.signed_distance(X) - helped.signed_distance(X)).max())
    require(error < 1e-9, f"the scores of a fit with it differ by {error:.2g}")


def _slow_first(shared: int, task: int) -> int:
    time.sleep(0.05 if task == 0 else 0)
    return shared + task


def _joined(shared: str, task: str) -> str:
    return shared + task


def _fails_at(shared: int, task: int) -> int:
    if task == shared:
        raise ValueError(f"task {task} is wrong")
    return task


def _echo(shared: Any, task: Any) -> tuple[Any, Any]:  # noqa: ANN401
    return shared, task


def _doubled(table: Any) -> Any:  # noqa: ANN401
    return table.append_column("score", [np.asarray(table["x"]) * 2])
