"""Peak memory of a call, measured in a process of its own."""

from __future__ import annotations

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

__all__ = ["peak_growth"]


def peak_growth(make: Callable[..., Callable[[], object]], *args: Any) -> float:  # noqa: ANN401
    """By how much the peak of resident memory grows, in MiB, when a call is made.

    What is there before, libraries, data and network, does not count; what earlier calls of the
    same process had used would hide it, hence the fresh one.

    Args:
        make: Makes the call, from `args`, in the other process; both must be picklable.
        *args: Its arguments.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_growth, make, args).result()


def _growth(make: Callable[..., Callable[[], object]], args: tuple[Any, ...]) -> float:
    call = make(*args)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
