"""The floor of a call: its matrix products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["products"]

_PRODUCTS = {"mm": torch.mm, "addmm": torch.mm, "bmm": torch.bmm, "baddbmm": torch.bmm}


def products(call: Callable[[], object]) -> Callable[[], None]:
    """Make a call of the matrix products that a call makes, on the same matrices, and no more."""
    with _Record() as record:
        call()

    def run() -> None:
        with torch.no_grad():
            for product, a, b in record.made:
                product(a, b)

    return run


@final
class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the factors of the products below it, in their layout."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: list[tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = []

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        product = _PRODUCTS.get(func.overloadpacket.__name__.rstrip("_"))
        if product is not None:
            # The last two tensors are the factors; one before them is what is added.
            a, b = [each for each in args if isinstance(each, Tensor)][-2:]
            self.made.append((product, a.detach(), b.detach()))
        return func(*args, **(kwargs or {}))
