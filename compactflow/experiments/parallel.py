"""Independent fits side by side, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed

from compactflow.terminal import track

__all__ = ["run_all", "run_each"]

T = TypeVar("T")


def run_all(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], title: str) -> list[T]:
    """As `run_each`, the results in a list."""
    return list(run_each(function, tasks, title))


def run_each(
    function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], title: str
) -> Iterator[T]:
    """Call a function on each task, in as many processes as there are cores.

    Each process computes with one thread, so results do not depend on their number.

    Args:
        function: Importable by name.
        tasks: The arguments of each call.
        title: What the progress bar says.

    Yields:
        The results in the order of the tasks, each as soon as it and those before it are there.
    """
    results = Parallel(n_jobs=cpu_count(), return_as="generator")(
        delayed(_single_threaded)(function, task) for task in tasks
    )
    yield from track(results, title, len(tasks))


def _single_threaded(function: Callable[..., T], task: tuple[Any, ...]) -> T:
    from compactflow.devices import single_threaded

    with single_threaded():
        return function(*task)
