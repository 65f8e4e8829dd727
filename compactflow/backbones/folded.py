"""A chain of affine coupling blocks with its constant maps multiplied out, to encode in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from compactflow.backbones.transforms import ChannelTransform

__all__ = ["FoldedBlock", "FoldedChain", "affine"]


@final
@dataclass(frozen=True, kw_only=True)
class FoldedBlock:
    """One block as matrices for rows from the left, of one network or of M along a first axis.

    Attributes:
        enter: From its P passive channels to the hidden units, ``(P, width)``.
        lift: Added to these, ``(width,)``.
        smooth: Whether a unit is a logistic function, or else a rectifier.
        predict: From the units to the parameters of what moves the other channels,
            ``(width, size (D - P))``.
        bias: Added to these, ``(size (D - P),)``.
        transform: That, with its `size` parameters a channel.
        leave: The affine map of all channels and the rotation, ``(D, D)``.
        shift: Added to what comes of these, ``(D,)``.
    """

    enter: Tensor
    lift: Tensor
    smooth: bool
    predict: Tensor
    bias: Tensor
    transform: ChannelTransform
    leave: Tensor
    shift: Tensor


@final
class FoldedChain:
    """Blocks in a row, where the last product of each is one with the first of the next.

    Args:
        blocks: The blocks.
    """

    def __init__(self, blocks: Sequence[FoldedBlock]) -> None:
        self._first = blocks[0]
        self._blocks = []
        for block, after in pairwise(blocks):
            seen = after.enter.shape[-2]
            into = block.leave[..., :seen] @ after.enter
            lift = after.lift + (block.shift[..., None, :seen] @ after.enter).squeeze(-2)
            leave = torch.cat([block.leave, into], dim=-1)
            self._blocks.append((block, leave, torch.cat([block.shift, lift], dim=-1)))
        self._blocks.append((blocks[-1], blocks[-1].leave, blocks[-1].shift))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Map data to latents, ``(N, D)``, or ``(M, N, D)`` for M networks."""
        dim, passive = x.shape[-1], self._first.enter.shape[-2]
        x = x.clone(memory_format=torch.contiguous_format)  # as it is changed in place below
        hidden = affine(x[..., :passive], self._first.enter, self._first.lift)
        for block, leave, shift in self._blocks:
            hidden = hidden.sigmoid_() if block.smooth else hidden.relu_()
            predicted = affine(hidden, block.predict, block.bias)
            parameters = predicted.view(*x.shape[:-1], block.transform.size, dim - passive)
            active = x[..., passive:]
            active.copy_(block.transform.forward(active, parameters)[0])
            x, hidden = affine(x, leave, shift).tensor_split([dim], dim=-1)
        return x


def affine(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """``x matrix + shift``, of rows ``(N, ...)``, or of ``(M, N, ...)`` each by its own."""
    if x.ndim == 3:
        return torch.baddbmm(shift.unsqueeze(-2), x, matrix)
    return torch.addmm(shift, x, matrix)
