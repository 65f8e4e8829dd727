"""Training step, encode, decode and score of every backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch

from benchmarks.peers import COMPILED, PEERS, make
from benchmarks.products import products
from benchmarks.sizes import Size
from benchmarks.steps import make_step
from compactflow.flows.flow import CompactFlow
from compactflow.plugins import registry
from compactflow.pushes.base import Push

PUSHES = [row.name for row in registry.available("push") if row.spec is not None]

Timed = Callable[..., None]


@pytest.mark.parametrize("push", PUSHES)
@pytest.mark.parametrize("part", ["whole", "products"])
def test_step(
    timed: Timed, device: torch.device, size: Size, name: str, push: str, part: str
) -> None:
    """Loss and gradient of one batch; its matrix products alone are the floor."""
    if name in PEERS and push != "likelihood":
        pytest.skip("a peer is trained by maximum likelihood")
    if name == "iresnet" and push == "likelihood":
        pytest.skip("it has no log-det but by D backward passes")
    if name == COMPILED and part == "products":
        pytest.skip("they cannot be told apart in compiled code")
    if name == COMPILED and cast("type[Push]", registry.load("push", push)).double_backward:
        pytest.skip("compiled passes have no double backward")
    call = make_step(name, push, size, device)
    if part == "products":
        call = products(call)
    what = f"{name} {push}" + (", products alone" if part == "products" else "")
    kind, peer = _family(name)
    timed(call, f"{kind}step {size}", what, reference=f"{peer} likelihood", **size._asdict())


@pytest.mark.parametrize("direction", ["encode", "decode", "warm decode", "score"])
def test_map(timed: Timed, device: torch.device, size: Size, name: str, direction: str) -> None:
    """One pass without a gradient; a warm decode starts near its answer."""
    backbone = make(name, size)
    if direction == "warm decode" and not hasattr(backbone, "iterations"):
        pytest.skip("its inverse takes no start")
    flow = CompactFlow(backbone, registry.load("latent", "cube")(size.dim)).to(device)
    x = torch.randn(size.batch, size.dim, device=device)
    with torch.no_grad():
        near = flow.backbone(x) + 0.1 * torch.randn_like(x)
        calls: dict[str, Callable[[], object]] = {
            "encode": lambda: flow.backbone(x),
            "decode": lambda: flow.backbone.inverse(x),
            "warm decode": lambda: flow.backbone.inverse(near, start=x),
            "score": lambda: flow.signed_distance(x),
        }
        kind, peer = _family(name)
        group = f"{kind}{direction} {size}"
        timed(calls[direction], group, name, reference=peer, **size._asdict())


def _family(name: str) -> tuple[str, str]:
    """Which networks it is compared with, and the peer among them that ratios are to."""
    if name in ("iresnet", "normflows residual"):
        return "residual ", "normflows residual"
    return "", "FrEIA"
