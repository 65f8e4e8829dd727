"""Peak memory of a call on the CPU, measured in a process of its own, on Linux."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["in_a_fresh_process", "kibibytes", "peak_growth"]

_Result = TypeVar("_Result")


def peak_growth(make: Callable[..., Callable[[], object]], *args: Any) -> float:  # noqa: ANN401
    """By how much the peak of resident memory grows, in MiB, when a call is made.

    What is there before, libraries, data and network, does not count; what earlier calls of the
    same process had used would hide it, hence the fresh one.

    Args:
        make: Makes the call, from `args`, in the other process; both must be picklable.
        *args: Its arguments.
    """
    return in_a_fresh_process(_growth, make, args)


def in_a_fresh_process(function: Callable[..., _Result], *args: Any) -> _Result:  # noqa: ANN401
    """What a function gives that is called in a process which has done nothing else before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def _growth(make: Callable[..., Callable[[], object]], args: tuple[Any, ...]) -> float:
    call = make(*args)
    # From now on; resource.getrusage would count what the parent process had at its start.
    Path("/proc/self/clear_refs").write_text("5")
    before = kibibytes("VmRSS")
    call()
    return (kibibytes("VmHWM") - before) / 1024


def kibibytes(field: str) -> int:
    """A field of this process's status: ``VmRSS`` now, ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
