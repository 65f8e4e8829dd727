"""Random numbers from generators of one's own: torch's global state is the caller's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["drawing_from", "normal_like", "seeded"]

_IN_PLACE = {
    Tensor.bernoulli_,
    Tensor.cauchy_,
    Tensor.exponential_,
    Tensor.geometric_,
    Tensor.log_normal_,
    Tensor.normal_,
    Tensor.random_,
    Tensor.uniform_,
}
_DRAWING = {
    torch.bernoulli,
    torch.multinomial,
    torch.normal,
    torch.poisson,
    torch.rand,
    torch.randint,
    torch.randn,
    torch.randperm,
    Tensor.bernoulli,
    Tensor.multinomial,
    *_IN_PLACE,
    *(
        function
        for name, function in inspect.getmembers(nn.init, inspect.isfunction)
        if "generator" in inspect.signature(function).parameters
    ),
}
_LIKE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.rand_like: torch.rand,
    torch.randn_like: torch.randn,
}


@final
class drawing_from(TorchFunctionMode):  # noqa: N801 - used as `with drawing_from(generator):`
    """Lets code that draws from torch's global generator draw from another, in this thread only.

    So a component's random start neither depends on the caller's generator or on other threads
    nor changes them. Each call of torch inside takes some microseconds more: this is for making
    components, not for training steps.

    Args:
        generator: Where to draw from what is drawn on its device.

    Examples:
        >>> from torch import nn
        >>> with drawing_from(seeded(0)):
        ...     one = nn.Linear(2, 2)
        >>> with drawing_from(seeded(0)):
        ...     other = nn.Linear(2, 2)
        >>> bool((one.weight == other.weight).all())
        True
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = dict(kwargs or {})
        given: Any = next(iter([*args, *kwargs.values()]), None)
        if func in _LIKE:
            defaults = {"dtype": given.dtype, "device": given.device}
            kwargs.pop("input", None)
            func, args, kwargs = _LIKE[func], (given.shape, *args[1:]), defaults | kwargs
        if func in _DRAWING and kwargs.get("generator") is None:
            place = given.device if isinstance(given, Tensor) else kwargs.get("device") or "cpu"
            if torch.device(place).type == self._generator.device.type:
                kwargs["generator"] = self._generator
        return func(*args, **kwargs)


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of one's own."""
    return torch.Generator(device).manual_seed(seed)


def normal_like(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal draws of the shape, dtype and device of a tensor."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
