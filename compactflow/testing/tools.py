"""What the checks of several kinds share."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from compactflow.flow import CompactFlow
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.randomness import seeded
from compactflow.testing.results import SkipCheck, require
from compactflow.training.holdout import HoldOut
from compactflow.training.trainer import TrainingDivergedWarning, TrainingOptions, train

__all__ = ["equal", "on_meta", "perturb", "reloaded", "require_finite", "short_training"]

_Module = TypeVar("_Module", bound=nn.Module)


@torch.no_grad()
def perturb(module: _Module, scale: float = 0.1) -> _Module:
    """Add normal noise to every parameter, in place: a stand-in for training."""
    for parameter in module.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=scale)
    return module


def equal(one: Tensor, other: Tensor, tolerance: float = 1e-9) -> bool:
    """Whether two tensors agree, relative to their largest entry or 1."""
    scale = 1 + other.abs().max()
    return one.shape == other.shape and bool((one - other).abs().max() <= tolerance * scale)


def require_finite(where: str, **values: Tensor) -> None:
    """Fail unless all values are finite."""
    for name, value in values.items():
        require(value.isfinite().all(), f"{name} is not finite {where}")


def reloaded(module: nn.Module, make: Callable[[], _Module]) -> _Module:
    """A fresh component, made with other random numbers, with the saved state of a module."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    torch.manual_seed(1)
    fresh = make()
    fresh.load_state_dict(torch.load(file))
    return fresh


def on_meta(calls: Iterable[tuple[str, Callable[[], Tensor]]]) -> None:
    """Fail if a call of a component on torch's ``meta`` device mixes in another device.

    That device has no memory, and so any machine has it.
    """
    for name, call in calls:
        try:
            device = call().device
        except NotImplementedError as error:
            raise SkipCheck(f"{name} looks at values, which meta tensors do not have") from error
        require(
            device.type == "meta",
            f"{name} is on {device} after .to('meta'); register tensors as buffers, and create "
            "new ones on the device of another",
        )


def short_training(flow: CompactFlow, x: Tensor, pull: Pull, push: Push, *, steps: int) -> None:
    """Train a flow's backbone for some steps, and fail if that diverges."""
    options = TrainingOptions(
        max_steps=steps, batch_size=128, learning_rate=1e-2, noise=0.0, checks=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingDivergedWarning)
        train(
            [flow], x, HoldOut(len(x)), pull=pull, push=push, options=options, generator=seeded(0)
        )
