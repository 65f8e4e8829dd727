"""An engine that runs tasks of Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import final

from dask import base
from dask.delayed import delayed

from compactflow.engines.base import Engine
from compactflow.workers import Result, Shared, Task

__all__ = ["Dask"]

_compute: Callable[..., Iterable[Result]] = base.compute  # which has no types of its own


@final
class Dask(Engine):
    """Creates the engine: the scheduler is that of the open client, or of this machine."""

    def run(
        self,
        function: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
    ) -> Iterable[Result]:
        """See `Workers.run`."""
        sent = delayed(shared, traverse=False)  # once to each worker, not once for each task
        call = delayed(function)
        return _compute(*(call(sent, delayed(task, traverse=False)) for task in tasks))
