"""Where tensors live and in which precision."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["find_device", "move"]


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


def move(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move a module to a device and its floats to `dtype` (float32 on MPS: it has no other)."""
    module.to(torch.float32 if device.type == "mps" else dtype).to(device)
