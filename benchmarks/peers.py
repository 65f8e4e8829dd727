"""The networks that are timed: every registered backbone, and peers of the same size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import normflows as nf
import pytest
from torch import Tensor, nn

from benchmarks.sizes import Size
from compactflow.backbones.base import Backbone
from compactflow.backbones.normflows_bridge import from_normflows
from compactflow.plugins import registry

__all__ = ["BACKBONES", "COMPILED", "PEERS", "WIDTH", "make"]

WIDTH = 128
COMPILED = "coupling compiled"

BACKBONES = [
    row.name
    for row in registry.available("backbone")
    if row.spec is not None and "composition" not in row.spec.tags
]


class FrEIA(Backbone):
    """Creates FrEIA's AllInOneBlocks, with soft permutations."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__(dim)
        framework = pytest.importorskip("FrEIA.framework", reason="FrEIA is not installed")
        modules = pytest.importorskip("FrEIA.modules", reason="FrEIA is not installed")
        self.network = framework.SequenceINN(dim)
        for _ in range(blocks):
            self.network.append(
                modules.AllInOneBlock,
                subnet_constructor=_perceptron,
                affine_clamping=2.0,
                permute_soft=True,
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        z: Tensor = self.network(x, jac=False)[0]
        return z

    def forward_and_log_abs_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        z, log_abs_det = self.network(x)
        return z, log_abs_det

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``."""
        x: Tensor = self.network(z, rev=True, jac=False)[0]
        return x


def _perceptron(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


def _coupling(dim: int, blocks: int) -> Backbone:
    """Affine couplings of halves of normflows, mixed by LU-factored maps."""
    if dim < 2:
        raise ValueError("a coupling of halves needs at least 2 features")
    flows: list[nf.flows.Flow] = []
    for _ in range(blocks):
        subnet = nf.nets.MLP([(dim + 1) // 2, WIDTH, 2 * (dim // 2)], init_zeros=True)
        flows.append(nf.flows.AffineCouplingBlock(subnet, scale_map="sigmoid"))
        flows.append(nf.flows.LULinearPermute(dim))
    return from_normflows(flows, dim)


def _residual(dim: int, blocks: int) -> Backbone:
    """A residual flow of normflows, as its documentation makes one."""
    sizes = [dim, WIDTH, WIDTH, dim]
    nets = (
        nf.nets.LipschitzMLP(sizes, init_zeros=True, lipschitz_const=0.9) for _ in range(blocks)
    )
    return from_normflows([nf.flows.Residual(net) for net in nets], dim)


#: Networks that are no backbone of the registry, each made from dimension and blocks.
PEERS: dict[str, Callable[[int, int], Backbone]] = {
    "FrEIA": FrEIA,
    "normflows coupling": _coupling,
    "normflows residual": _residual,
}


def make(name: str, size: Size) -> Backbone:
    """The backbone or peer of a name, or a skip that says why not."""
    if name == COMPILED:
        compiled = make("coupling", size)
        compiled.compile_passes()
        return compiled
    # A registered one that is not here, a plugin's too, is timed with its own defaults.
    options: dict[str, dict[str, Any]] = {
        "coupling": {
            "blocks": size.blocks,
            "width": WIDTH,
            "permutation": "soft",
            "activation": "relu",  # as in the peers
        },
        "iresnet": {"blocks": size.blocks, "width": WIDTH},
        "autoregressive": {"layers": size.blocks // 3, "width": 64},
        "zuko:NICE": {"transforms": size.blocks, "hidden_features": (WIDTH,)},
        "zuko:MAF": {"transforms": size.blocks // 3, "hidden_features": (64, 64)},
        "zuko:NSF": {"transforms": size.blocks // 3, "hidden_features": (64, 64)},
        "normflows:RealNVP": {"layers": size.blocks, "width": WIDTH},
    }
    try:
        if name in PEERS:
            return PEERS[name](size.dim, size.blocks)
        backbone: Backbone = registry.load("backbone", name)(size.dim, **options.get(name, {}))
    except ValueError as error:
        pytest.skip(str(error))
    return backbone
