"""Where tensors live and in which precision."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import torch
from torch import nn

__all__ = ["can_compile", "find_device", "find_dtype", "move", "single_threaded"]


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


def move(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a module to a device and its floats to `dtype` (float32 on MPS: it has no other)."""
    module.to(torch.float32 if device.type == "mps" else dtype).to(device)


@contextlib.contextmanager
def single_threaded(apply: bool = True) -> Iterator[None]:
    """Let torch compute with one thread inside, if `apply`.

    On small tensors further threads only wait for each other, which takes a core each, and many
    times as long where the cores have other work.
    """
    threads = torch.get_num_threads()
    if apply:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
