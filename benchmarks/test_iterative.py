"""Iterative inverses on trained networks, with the error that they reach."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.peers import make
from benchmarks.sizes import Size
from benchmarks.training import clusters, train
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import Backbone
from compactflow.backbones.iresnet import IResNet, _residual

Timed = Callable[..., None]

_ROUND_TRIP = 1e-5  # relative error of a round trip that an autoregressive decode must reach
_ERROR = 2e-6  # relative error that a decode of a residual network must reach: rounding is half


@cache
def _trained(name: str, batch: int) -> tuple[Backbone, Tensor]:
    """A trained network and data that it has not seen."""
    torch.manual_seed(0)
    x = clusters(2048 + batch, 128)
    if name == "autoregressive spline":
        backbone: Backbone = Autoregressive(128, transform="spline")
    else:
        backbone = make(name, Size(128, batch))
    train(backbone, "stein" if name == "iresnet" else "likelihood", x[:-batch], steps=100)
    return backbone.eval(), x[-batch:]


def _relative(difference: Tensor, value: Tensor) -> float:
    return float(difference.abs().max() / value.abs().max())


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("zuko:MAF", "zuko:MAF"),
        ("autoregressive", "zuko:MAF"),
        ("zuko:NSF", "zuko:NSF"),
        ("autoregressive spline", "zuko:NSF"),
    ],
)
def test_autoregressive_decode(
    timed: Timed, device: torch.device, name: str, reference: str
) -> None:
    """Decoding the latents of data, with 4 layers of width 64."""
    trained, data = _trained(name, 256)
    backbone, x = copy.deepcopy(trained).to(device), data.to(device)
    with torch.no_grad():
        z = backbone(x)
        error = _relative(backbone.inverse(z) - x, x)
        assert error <= _ROUND_TRIP or name == reference, f"the round trip errs by {error:.1e}"
        timed(
            lambda: backbone.inverse(z),
            f"autoregressive decode D=128 N=256, {reference.removeprefix('zuko:')}",
            name,
            reference=reference,
            error=error,
            dim=128,
            batch=256,
        )


@pytest.mark.parametrize("name", ["plain fixed point", "iresnet"])
def test_residual_decode(timed: Timed, device: torch.device, name: str) -> None:
    """Decoding to an error of 2e-6; the plain fixed point iterates as often as it must."""
    trained, data = _trained("iresnet", 512)
    assert isinstance(trained, IResNet)
    backbone, x = copy.deepcopy(trained).to(device), data.to(device)
    with torch.no_grad():
        z = backbone(x)
        exact = copy.deepcopy(backbone).double().inverse(z.double())

        def error(found: Tensor) -> float:
            return _relative(found - exact, exact)

        iterations = 0
        decode = partial(backbone.inverse, z)
        if name == "plain fixed point":
            counts = (n for n in range(1, 100) if error(_plain(backbone, z, n)) <= _ERROR)
            iterations = next(counts)
            decode = partial(_plain, backbone, z, iterations)
        reached = error(decode())
        assert reached <= _ERROR, f"the decode errs by {reached:.1e}"
        timed(
            decode,
            "trained residual decode D=128 N=512 blocks=12",
            name,
            reference="plain fixed point",
            error=reached,
            iterations=iterations or max(backbone.iterations),
            dim=128,
            batch=512,
        )


def _plain(backbone: IResNet, z: Tensor, iterations: int) -> Tensor:
    """The inverse by ``x ← y - g(x)``, so many times in each block."""
    blocks: list[Any] = list(backbone.blocks)
    for block in reversed(blocks):
        weights = block.weights()
        y = (z - block.shift) / softplus(block.scale)
        z = y
        for _ in range(iterations):
            z = y - _residual(z, weights)
    return z
