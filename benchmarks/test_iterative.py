"""Iterative inverses on trained networks, with the error that they reach."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from benchmarks.peers import make
from benchmarks.sizes import Size
from benchmarks.training import clusters, train
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import Backbone

Timed = Callable[..., None]

_ROUND_TRIP = 1e-5  # relative error of a round trip that an autoregressive decode must reach


@cache
def _trained(name: str, batch: int) -> tuple[Backbone, Tensor]:
    """A trained network and data that it has not seen."""
    torch.manual_seed(0)
    x = clusters(2048 + batch, 128)
    if name == "autoregressive spline":
        backbone: Backbone = Autoregressive(128, transform="spline")
    else:
        backbone = make(name, Size(128, batch))
    train(backbone, "likelihood", x[:-batch], steps=100)
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
