"""Optimisers and schedules, by name, class or function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer, RAdam, RMSprop
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
)

__all__ = [
    "OptimizerChoice",
    "ScheduleChoice",
    "find_optimizer",
    "find_schedule",
    "make_optimizer",
    "make_schedule",
]

OptimizerChoice: TypeAlias = str | Callable[..., Optimizer]
ScheduleChoice: TypeAlias = str | Callable[..., LRScheduler]
_Class = TypeVar("_Class", bound=type[Optimizer])


def _light(kind: _Class) -> _Class:
    """The class without what keeps torch's compiler away from it.

    That imports the compiler, which takes two seconds of each process that trains.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    bare["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast(_Class, type(kind.__name__, (kind,), bare))


_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": partial(_light(Adam), fused=True),
    "adamw": partial(_light(AdamW), fused=True),
    "nadam": _light(NAdam),
    "radam": _light(RAdam),
    "rmsprop": _light(RMSprop),
    "sgd": partial(_light(SGD), momentum=0.9),
}
_SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "one-cycle": lambda optimizer, steps: OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps + 1,
        cycle_momentum=not {"momentum", "betas"}.isdisjoint(optimizer.defaults),
    ),
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "linear": lambda optimizer, steps: LinearLR(
        optimizer, start_factor=1.0, end_factor=0.0, total_iters=steps
    ),
    "constant": lambda optimizer, steps: LambdaLR(optimizer, lambda step: 1.0),
}
# What torch's schedules call the number of steps.
_STEPS = {"total_steps", "total_iters", "T_max"}


def find_optimizer(choice: object) -> Callable[..., Optimizer]:
    """What makes an optimiser from ``(parameters, lr=rate)``.

    Raises:
        ValueError: If it is neither one of the names nor a class or function.
    """
    return _find("optimizer", choice, _OPTIMIZERS)


def find_schedule(choice: object) -> Callable[..., LRScheduler]:
    """What makes a schedule from ``(optimizer, steps)``, or a class of torch's schedules.

    Raises:
        ValueError: As for `find_optimizer`.
    """
    return _find("schedule", choice, _SCHEDULES)


def make_optimizer(
    choice: OptimizerChoice, parameters: Iterable[Tensor], rate: float
) -> Optimizer:
    """The optimiser of parameters with a learning rate.

    Raises:
        ValueError: If the choice is none, or makes what cannot take a plain step.
    """
    make = find_optimizer(choice)
    _check_call("optimizer", make, ["parameters", "lr"], lambda call: call([], lr=rate))
    made = make(list(parameters), lr=rate)
    _check_made("optimizer", make, made, Optimizer)
    return made


def make_schedule(choice: ScheduleChoice, optimizer: Optimizer, steps: int) -> LRScheduler:
    """The schedule of an optimiser's learning rate over so many steps.

    Raises:
        ValueError: As for `make_optimizer`.
    """
    make = find_schedule(choice)
    arguments, options, names = [steps], {}, ["optimizer", "steps"]
    if isinstance(choice, type) and issubclass(choice, LRScheduler):  # these take more, by name
        known = sorted(inspect.signature(choice).parameters.keys() & _STEPS)
        arguments, options, names = [], dict.fromkeys(known, steps), ["optimizer", *known]
    _check_call("schedule", make, names, lambda call: call(optimizer, *arguments, **options))
    made = make(optimizer, *arguments, **options)
    _check_made("schedule", make, made, LRScheduler)
    return made


def _find(kind: str, choice: object, named: dict[str, Any]) -> Any:  # noqa: ANN401
    if isinstance(choice, str) and choice in named:
        return named[choice]
    if callable(choice):
        return choice
    raise ValueError(
        f"{kind} must be one of {', '.join(map(repr, named))}, or a class or function that makes "
        f"one, got {choice!r}"
    )


def _check_call(
    kind: str, make: Callable[..., Any], arguments: list[str], call: Callable[[Any], Any]
) -> None:
    try:
        call(inspect.signature(make).bind)
    except TypeError as error:
        raise ValueError(
            f"{kind} must be made by {_name(make)} from ({', '.join(arguments)}) alone: {error}; "
            "give a function that sets the rest"
        ) from error


def _check_made(kind: str, make: Callable[..., Any], made: object, base: type) -> None:
    if not isinstance(made, base):
        raise ValueError(f"{kind} must be made by {_name(make)}, but that returned {made!r}")
    try:
        inspect.signature(made.step).bind()  # type: ignore[attr-defined]
    except TypeError as error:
        raise ValueError(
            f"{kind} must take steps without arguments, and {_name(made)} does not: {error}"
        ) from error


def _name(made: Any) -> str:  # noqa: ANN401
    return str(getattr(made, "__name__", type(made).__name__))
