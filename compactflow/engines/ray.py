"""Tasks of Ray, and scores of its datasets, on the cores of one machine or of many."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, final

import pyarrow as pa

from compactflow.engines.base import Engine
from compactflow.scoring import ArrowScorer
from compactflow.text import cause_of
from compactflow.workers import Result, Shared, Task

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["Ray", "score"]

_log = logging.getLogger(__name__)

_ROWS = 8192  # in a batch


@final
class Ray(Engine):
    """Creates the engine that runs tasks of Ray. For datasets of Ray Data see `score`.

    It joins the cluster of ``RAY_ADDRESS``, or starts Ray on this machine's cores. A task whose
    worker died is run again, three times at most.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> OneClassFlow().fit(X, engine=Ray())  # doctest: +SKIP
    """

    def run(
        self,
        function: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
    ) -> Iterable[Result]:
        """See `Workers.run`."""
        ray = _start()
        sent, remote = ray.put(shared), ray.remote(num_cpus=1)(function)
        _log.info("%d tasks for Ray, with %s", len(tasks), ray.cluster_resources())
        running = deque(remote.remote(sent, task) for task in tasks)
        try:
            while running:
                result = ray.get(running[0])
                running.popleft()  # Ray forgets a result that nobody holds any more
                yield result
        except ray.exceptions.RayError as error:
            running.popleft()  # as Ray 2.60 may abort where a call that has ended is cancelled
            if isinstance(error, ray.exceptions.RayTaskError):
                raise error.cause from error
            raise OSError(f"Ray lost its workers: {cause_of(error)}") from error
        finally:
            for call in running:  # as after Ctrl-C, in a session that goes on
                ray.cancel(call)


def score(
    dataset: Dataset,
    model: Callable[[pa.Table], pa.Table] | str | os.PathLike[str] | bytes,
    *,
    workers: int | None = None,
) -> Dataset:
    """Add scores to a dataset of Ray, lazily.

    Each worker is an actor that opens the model once. If one dies, Ray starts another, which
    scores the rows that were lost again.

    Args:
        dataset: The rows, with the columns that the model was fitted on.
        model: A model file, its content, or a scorer with options of its own.
        workers: Actors at most; by default as many as there are cores.

    Returns:
        The dataset with the scorer's columns behind its own. Its order is kept if the context's
        ``execution_options.preserve_order`` is on.

    Raises:
        ImportError: If ``compactflow[ray]`` is not installed.
        FileNotFoundError: If there is no such model file.
    """
    ray = _import()
    scorer = model if callable(model) else ArrowScorer(model)
    most = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    return dataset.map_batches(
        _Worker,
        fn_constructor_args=(scorer,),
        batch_format="pyarrow",
        batch_size=_ROWS,
        zero_copy_batch=True,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        num_cpus=0.5,  # so that readers and writers find a core beside it
    )


@final
class _Worker:
    def __init__(self, scorer: Callable[[pa.Table], pa.Table]) -> None:
        self._scorer = scorer

    def __call__(self, batch: pa.Table) -> pa.Table:
        return self._scorer(batch)


def _start() -> Any:  # noqa: ANN401
    ray = _import()
    try:
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    except Exception as error:  # of many kinds
        raise OSError(f"Ray does not start: {cause_of(error)}") from error
    return ray


def _import() -> Any:  # noqa: ANN401
    try:
        import ray.data
    except ImportError as error:
        raise ImportError(
            "the engine 'ray' needs Ray, which is not installed: pip install 'compactflow[ray]'"
        ) from error
    return ray
