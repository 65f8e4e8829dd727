"""One training step, as the trainer makes it, with and without the optimiser."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.peers import make
from benchmarks.sizes import Size
from compactflow.flows.assembly import make_push
from compactflow.flows.components import Part
from compactflow.flows.flow import CompactFlow
from compactflow.plugins import registry

__all__ = ["make_step", "make_training_step"]


def make_step(name: str, push_name: str, size: Size, device: torch.device) -> Callable[[], None]:
    """Make a call of loss and gradient of one batch, with a fresh network.

    Args:
        name: A backbone or a peer.
        push_name: A push; a peer has a log-det but no fast inverse, so only ``"likelihood"``.
        size: Of network and batch.
        device: Where it runs.
    """
    return _make(name, push_name, size, device)[1]


def make_training_step(
    name: str, push_name: str, size: Size, device: torch.device
) -> Callable[[], None]:
    """Make a call of a step and of the optimiser behind it, which a CUDA graph can record."""
    flow, step = _make(name, push_name, size, device)
    adam = torch.optim.Adam(flow.parameters(), fused=True, capturable=device.type == "cuda")

    def train() -> None:
        step()
        adam.step()

    return train


def _make(
    name: str, push_name: str, size: Size, device: torch.device
) -> tuple[CompactFlow, Callable[[], None]]:
    latent = registry.load("latent", "gaussian" if push_name == "likelihood" else "cube")(size.dim)
    flow = CompactFlow(make(name, size), latent).to(device)
    push = make_push({"push": Part(choice=push_name, options={})}, size.dim).to(device)
    pull_name = latent.confining_pull if push.entropic else latent.default_pull
    pull = registry.load("pull", pull_name)(latent).to(device)
    x = torch.randn(size.batch, size.dim, device=device)

    def step() -> None:
        flow.zero_grad(set_to_none=True)
        z, term = push(flow.backbone, pull, x)
        (pull(z).mean() + term).backward()

    return flow, step
