"""A bound on what untrusted options can make torch allocate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, final

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["allocation_limit"]

# Making a network takes temporaries: a few tens of the numbers that it keeps. A tensor costs time
# and memory however small, and counts as so many numbers.
_FACTOR = 100
_SPARE = 1_000_000
_PER_TENSOR = 100


@contextmanager
def allocation_limit(numbers: int) -> Iterator[None]:
    """Inside a ``with`` block, allow torch tensors of some hundred times `numbers` in all.

    Raises:
        MemoryError: In the block, at the operation that goes beyond.
    """
    with _Count(_FACTOR * numbers + _SPARE):
        yield


@final
class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, limit: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit = limit
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        # torch.empty(size) and its like have to be stopped before they fill the memory.
        if args and isinstance(args[0], list) and all(isinstance(n, int) for n in args[0]):
            self._add(prod(args[0]), keep=False)
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf.numel() + _PER_TENSOR, keep=True)
        return result

    def _add(self, numbers: int, *, keep: bool) -> None:
        if self.count + numbers > self.limit:
            raise MemoryError(f"it asks for more than {self.limit:.0e} numbers")
        self.count += numbers * keep
