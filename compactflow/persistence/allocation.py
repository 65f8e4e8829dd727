"""A bound on what untrusted options can make torch allocate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["allocation_limit"]

# Making a network takes temporaries: in all a few tens of the numbers that it keeps, at any time
# not much more than those. A tensor costs time and memory however small, and counts as so many.
_IN_ALL, _AT_A_TIME = 100, 4
_SPARE = 1_000_000
_PER_TENSOR = 100


@contextmanager
def allocation_limit(numbers: int) -> Iterator[None]:
    """Inside a ``with`` block, allow torch tensors of a few times `numbers` at a time.

    In all it is some hundred times as many, as each costs time.

    Raises:
        MemoryError: In the block, at the operation that goes beyond.
    """
    with _Count(numbers):
        yield


@final
class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, numbers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.in_all = _IN_ALL * numbers + _SPARE
        self.at_a_time = _AT_A_TIME * numbers + _SPARE
        self.count = 0
        self.alive: dict[StorageWeakRef, int] = {}
        self.size = 0  # of what is alive, and of what has died since it was last looked at

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, or the first call would import torch's compiler, which takes seconds."""
        return False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if not (args and isinstance(args[0], Tensor)) and not _tensors((args, kwargs)):
            # torch.empty(size) and its like have to be stopped before they fill the memory.
            self._check(_size(func, args, kwargs))
        result = func(*args, **kwargs)
        for tensor in [result] if isinstance(result, Tensor) else _tensors(result):
            numbers = tensor.numel() + _PER_TENSOR
            self.count += numbers
            storage = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
            if storage not in self.alive:
                self.alive[storage] = numbers
                self.size += numbers
            self._check(0)
        return result

    def _check(self, numbers: int) -> None:
        """Check that so many more are allowed."""
        if self.size + numbers > self.at_a_time:
            self.alive = {kept: n for kept, n in self.alive.items() if not kept.expired()}  # type: ignore[no-untyped-call]
            self.size = sum(self.alive.values())
        limit = min(self.at_a_time - self.size, self.in_all - self.count)
        if numbers > limit:
            raise MemoryError(f"it asks for more than {self.at_a_time:.0e} numbers")


def _size(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many numbers the tensors have that a function makes of other arguments."""
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, args, strict=False)) | kwargs
    # Asking the function itself would import torch's compiler for some of these.
    if "size" in given:
        return math.prod(given["size"])
    if func.overloadpacket is torch.ops.aten.eye:
        return int(given["n"]) * int(given.get("m", given["n"]))
    try:
        made = func(*args, **kwargs | {"device": torch.device("meta")})
    except (RuntimeError, NotImplementedError):  # it makes none, or is for another device only
        return 0
    return sum(tensor.numel() for tensor in _tensors(made))


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
