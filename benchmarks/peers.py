"""The networks that are timed: every registered backbone, and peers of the same size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from compactflow import registry
from compactflow.backbones.base import Backbone

__all__ = ["BACKBONES", "PEERS", "make"]

BLOCKS, WIDTH = 12, 128

# The size of the peers'; what is not here, a plugin's too, is timed with its own defaults.
_SIZES: dict[str, dict[str, object]] = {
    "coupling": {"blocks": BLOCKS, "width": WIDTH, "permutation": "soft", "horizon": None},
    "autoregressive": {"layers": 4, "width": 64},
    "zuko:MAF": {"transforms": 4, "hidden_features": (64, 64)},
    "zuko:NSF": {"transforms": 4, "hidden_features": (64, 64)},
}
BACKBONES = [row.name for row in registry.available("backbone") if row.spec is not None]


class FrEIA(Backbone):
    """Creates FrEIA's AllInOneBlocks, with soft permutations."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        framework = pytest.importorskip("FrEIA.framework", reason="FrEIA is not installed")
        modules = pytest.importorskip("FrEIA.modules", reason="FrEIA is not installed")
        self.network = framework.SequenceINN(dim)
        for _ in range(BLOCKS):
            self.network.append(
                modules.AllInOneBlock,
                subnet_constructor=_perceptron,
                affine_clamping=2.0,
                permute_soft=True,
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        return self.forward_and_log_abs_det(x)[0]

    def forward_and_log_abs_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        z, log_abs_det = self.network(x)
        return z, log_abs_det

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``."""
        x: Tensor = self.network(z, rev=True)[0]
        return x


def _perceptron(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


PEERS: dict[str, Callable[[int], Backbone]] = {"FrEIA": FrEIA}


def make(name: str, dim: int) -> Backbone:
    """The backbone or peer of a name, or a skip that says why not."""
    try:
        if name in PEERS:
            return PEERS[name](dim)
        backbone: Backbone = registry.load("backbone", name)(dim, **_SIZES.get(name, {}))
    except ValueError as error:
        pytest.skip(str(error))
    return backbone
