"""Training step, encode and decode of every backbone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks.peers import BACKBONES, PEERS, make
from compactflow import registry
from compactflow.flow import CompactFlow

DIMS = [2, 32, 128, 512]
BATCHES = [256, 512, 4096]
PUSHES = [row.name for row in registry.available("push") if row.spec is not None]

Timed = Callable[..., None]


@pytest.mark.parametrize("name", [*BACKBONES, *PEERS])
@pytest.mark.parametrize("push_name", PUSHES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", DIMS)
def test_step(
    timed: Timed, device: torch.device, name: str, push_name: str, dim: int, batch: int
) -> None:
    """Loss and gradient of one batch; a peer is trained by maximum likelihood alone."""
    if name in PEERS and push_name != "likelihood":
        pytest.skip("a peer is trained by maximum likelihood")
    if push_name == "likelihood" and name == "iresnet":
        pytest.skip("it has no log-det but by D backward passes")
    latent = registry.load("latent", "gaussian" if push_name == "likelihood" else "cube")(dim)
    flow = CompactFlow(make(name, dim), latent).to(device)
    push = registry.load("push", push_name)()
    pull_name = latent.confining_pull if push.entropic else latent.default_pull
    pull = registry.load("pull", pull_name)(latent).to(device)
    x = torch.randn(batch, dim, device=device)

    def step() -> None:
        flow.zero_grad(set_to_none=True)
        push.loss(flow, x, pull).backward()

    info = {"name": name, "push": push_name, "dim": dim, "batch": batch}
    timed(step, group=f"step D={dim} N={batch}", **info)


@pytest.mark.parametrize("name", [*BACKBONES, *PEERS])
@pytest.mark.parametrize("direction", ["encode", "decode", "warm decode"])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", DIMS)
def test_map(
    timed: Timed, device: torch.device, name: str, direction: str, dim: int, batch: int
) -> None:
    """One pass without a gradient; a warm decode starts near its answer."""
    backbone = make(name, dim).to(device)
    x = torch.randn(batch, dim, device=device)
    with torch.no_grad():
        near = backbone(x) + 0.1 * torch.randn_like(x)
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: backbone(x),
        "decode": lambda: backbone.inverse(x),
        "warm decode": lambda: backbone.inverse(near, start=x),
    }
    with torch.no_grad():
        info = {"name": name, "dim": dim, "batch": batch}
        timed(calls[direction], group=f"{direction} D={dim} N={batch}", **info)
