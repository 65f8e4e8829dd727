"""Several modules of one class as one, with parameters along a new first axis."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["stack_modules"]

_Module = TypeVar("_Module", bound=nn.Module)


def stack_modules(ones: Sequence[_Module]) -> _Module:
    """One module whose parameters and buffers are those of M equally built ones, ``(M, ...)``.

    It works if the class computes with such tensors, as a parallel backbone does. What is tied,
    frozen or absent in each of them is so in the one.
    """
    merged = copy.deepcopy(ones[0])
    stacked: dict[tuple[int, ...], Tensor] = {}
    for module, *originals in zip(merged.modules(), *(one.modules() for one in ones), strict=True):
        for kind in ("_parameters", "_buffers"):
            for name, value in vars(module)[kind].items():
                if value is None:
                    continue
                values = [vars(original)[kind][name] for original in originals]
                tied = tuple(map(id, values))
                if tied not in stacked:
                    stacked[tied] = torch.stack([value.detach() for value in values])
                    if kind == "_parameters":
                        trained = values[0].requires_grad
                        stacked[tied] = nn.Parameter(stacked[tied], requires_grad=trained)
                vars(module)[kind][name] = stacked[tied]
    return merged
