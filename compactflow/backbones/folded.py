"""A chain of affine coupling blocks with its constant maps multiplied out, to encode in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

__all__ = ["FoldedBlock", "FoldedChain", "affine"]


@final
@dataclass(frozen=True, kw_only=True)
class FoldedBlock:
    """One block as matrices for rows from the left, of one network or of M along a first axis.

    Attributes:
        enter: From its P passive channels to the hidden units, ``(P, width)``.
        lift: Added to these, ``(width,)``.
        smooth: Whether a unit is a logistic function, or else a rectifier.
        predict: From the units to what moves the other channels, ``(width, size (D - P))``.
        bias: Added to that, ``(size (D - P),)``.
        move: Moves them in place, given that: see `ChannelTransform.folded`.
        leave: The affine map of all channels and the rotation, ``(D, D)``.
        shift: Added to what comes of these, ``(D,)``.
    """

    enter: Tensor
    lift: Tensor
    smooth: bool
    predict: Tensor
    bias: Tensor
    move: Callable[[Tensor, Tensor], object]
    leave: Tensor
    shift: Tensor


@final
class FoldedChain:
    """Blocks in a row, where the last product of each is one with the first of the next.

    Args:
        blocks: The blocks.
    """

    def __init__(self, blocks: Sequence[FoldedBlock]) -> None:
        first = blocks[0]
        self._passive = first.enter.shape[-2]
        self._enter, self._lift = first.enter, first.lift.unsqueeze(-2)
        self._blocks = []
        for block, after in pairwise(blocks):
            into = block.leave[..., : self._passive] @ after.enter
            shift = block.shift.unsqueeze(-2)
            lift = after.lift.unsqueeze(-2) + shift[..., : self._passive] @ after.enter
            leave = torch.cat([block.leave, into], dim=-1)
            self._blocks.append((block, leave, torch.cat([shift, lift], dim=-1)))
        self._blocks.append((blocks[-1], blocks[-1].leave, blocks[-1].shift.unsqueeze(-2)))
        self._biases = [block.bias.unsqueeze(-2) for block in blocks]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Map data to latents, ``(N, D)``, or ``(M, N, D)`` for M networks."""
        dim = [x.shape[-1]]
        x = x.clone(memory_format=torch.contiguous_format)  # as it is changed in place below
        hidden = affine(x[..., : self._passive], self._enter, self._lift)
        for (block, leave, shift), bias in zip(self._blocks, self._biases, strict=True):
            hidden = hidden.sigmoid_() if block.smooth else hidden.relu_()
            block.move(x[..., self._passive :], affine(hidden, block.predict, bias))
            x, hidden = affine(x, leave, shift).tensor_split(dim, dim=-1)
        return x


def affine(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """``x matrix + shift``, of rows ``(N, ...)``, or of ``(M, N, ...)`` each by its own."""
    return (torch.baddbmm if x.ndim == 3 else torch.addmm)(shift, x, matrix)
