"""Where tensors live and in which precision."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = [
    "SMALL",
    "can_compile",
    "find_device",
    "find_dtype",
    "finest_dtype",
    "fresh_defaults",
    "single_threaded",
    "spread",
]

_Result = TypeVar("_Result")

SMALL = 1 << 15
"""Numbers in a batch up to which a second thread gains nothing."""

_PROCESS = os.getpid()
# What makes tensors of the default dtype. `torch.tensor` and its like do so of Python's floats.
_MAKERS = {
    torch.empty,
    torch.eye,
    torch.linspace,
    torch.logspace,
    torch.normal,
    torch.ones,
    torch.rand,
    torch.randn,
    torch.zeros,
}
_CONVERTERS = {torch.tensor, torch.as_tensor, torch.asarray, torch.full}


def find_device(name: str) -> torch.device:
    """The device of that name; ``"auto"`` is CUDA if there is one, else the CPU.

    Raises:
        ValueError: If the name is unknown or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"device {name!r} cannot be used: {reason}") from error
    return device


def find_dtype(name: str | None) -> torch.dtype | None:
    """The dtype ``"float32"`` or ``"float64"``; ``None`` stays.

    Raises:
        ValueError: If the name is another.
    """
    if name not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be 'float32', 'float64' or None, got {name!r}")
    return None if name is None else getattr(torch, name)


def finest_dtype(device: torch.device) -> torch.dtype:
    """The finest precision of a device: float32 on MPS, else float64."""
    return torch.float32 if device.type == "mps" else torch.float64


_lock = threading.Lock()
_callers: list[int] = []  # for each run in `single_threaded`, how many threads its caller had


@contextlib.contextmanager
def single_threaded(apply: bool = True) -> Iterator[None]:
    """Let torch compute with one thread inside, if `apply`.

    On small tensors further threads only wait for each other, which takes a core each, and many
    times as long where the cores have other work. The number is that of the process, so of several
    runs at once the first remembers what it was.
    """
    if not apply:
        yield
        return
    with _lock:
        _callers.append(_callers[0] if _callers else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            threads = _callers.pop()
            if not _callers:  # others still need one
                torch.set_num_threads(threads)


def spread(
    function: Callable[[Tensor], _Result], chunks: Sequence[Tensor], device: torch.device
) -> Iterator[_Result]:
    """Apply a function to chunks, on the CPU in as many threads as torch has.

    A thread that has a whole chunk waits for no other, as it would within each operation.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    if min(threads, len(chunks)) < 2:
        with single_threaded(all(chunk.numel() <= SMALL for chunk in chunks)):
            yield from map(function, chunks)
        return
    with single_threaded(), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, chunks)


@contextlib.contextmanager
def fresh_defaults(*, grad: bool = False) -> Iterator[None]:
    """Compute as a fresh process would, whatever the caller has set, and leave that as it is.

    Inside, the default device is the CPU, the default dtype is float32, inference mode and
    autocasting are off, and gradients are on if `grad`. A process that was forked computes with
    one thread, as OpenMP's other threads do not survive a fork: a computation would wait for them
    for ever.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.set_grad_enabled(grad))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32:
            stack.enter_context(_Float32())
        stack.enter_context(single_threaded(os.getpid() != _PROCESS))
        yield


@final
class _Float32(TorchFunctionMode):
    """Makes float32 the default of this thread; `torch.set_default_dtype` is for all threads."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        chosen = kwargs.get("dtype") is not None or kwargs.get("out") is not None
        if not chosen and not any(hasattr(each, "dtype") for each in args):
            floats = func in _CONVERTERS and func(*args, **kwargs).is_floating_point()
            if floats or func in _MAKERS:
                kwargs = kwargs | {"dtype": torch.float32}
        return func(*args, **kwargs)


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` works here; if not, one line of the log says why."""
    try:
        torch.compile(torch.tanh)(torch.zeros(2, device=device))
    except Exception as error:  # compilers fail in many ways
        reason = str(error).strip().split("\n")[0]
        logging.getLogger("compactflow").warning(
            "not compiled, as torch.compile fails: %s", reason
        )
        return False
    return True
