"""Short trainings: what is timed on a trained network is another thing than on a fresh one."""

from __future__ import annotations

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.plugins import registry

__all__ = ["clusters", "train"]


def clusters(rows: int, dim: int) -> Tensor:
    """Eight normal clusters in standard units, ``(rows, dim)``."""
    centres = 1.5 * torch.randn(8, dim)
    x = centres[torch.randint(8, (rows,))] + 0.3 * torch.randn(rows, dim)
    return (x - x.mean(dim=0)) / x.std(dim=0)


def train(backbone: Backbone, push_name: str, x: Tensor, steps: int) -> None:
    """Train a network on data ``(N, D)`` by Adam, 128 rows a step, by a push and its pull."""
    latent = registry.load("latent", "gaussian" if push_name == "likelihood" else "cube")(
        x.shape[1]
    )
    push = registry.load("push", push_name)()
    pull = registry.load("pull", latent.confining_pull)(latent)
    optimiser = torch.optim.Adam(backbone.parameters(), lr=1e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        z, term = push(backbone, pull, x[torch.randint(len(x), (128,))])
        (pull(z).mean() + term).backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
        optimiser.step()
