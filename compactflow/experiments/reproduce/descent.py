"""Gradient descent on pull and push alone, without the trainer's guards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from compactflow.flows.flow import CompactFlow
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["descend"]


def descend(
    flow: CompactFlow,
    draw: Callable[[], Tensor],
    *,
    pull: Pull,
    push: Push,
    steps: int,
    learning_rate: float,
) -> Iterator[int]:
    """Train a flow in place by Adam at a constant learning rate (Schmier et al., Algorithm 1).

    No clipping, averaging or early stopping, so that what happens is due to pull and push.

    Args:
        flow: The flow, without preprocessing.
        draw: Gives a batch of data, ``(N, D)``.
        pull: Draws latents into the support.
        push: Spreads them over it.
        steps: How many.
        learning_rate: Of Adam.

    Yields:
        The number of steps taken, from 0, whenever the flow may be looked at.
    """
    optimizer = torch.optim.Adam(flow.backbone.parameters(), lr=learning_rate)
    yield 0
    for step in range(1, steps + 1):
        z, term = push(flow.backbone, pull, draw())
        loss: Tensor = pull.weight * pull(z).mean() + term
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield step
