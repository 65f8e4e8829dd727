"""Small backbones of every family."""

import torch

from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.iresnet import IResNet
from compactflow.plugins import registry

CONSTRUCTORS = {
    "aligned": lambda dim: Coupling(dim, blocks=4, width=16),
    "soft": lambda dim: Coupling(dim, blocks=4, width=16, permutation="soft"),
    "hard": lambda dim: Coupling(dim, blocks=4, width=16, permutation="hard"),
    "hartley": lambda dim: Coupling(dim, blocks=4, width=16, permutation="hartley"),
    "additive": lambda dim: Coupling(dim, transform="additive", blocks=4, width=16),
    "volume-preserving": lambda dim: Coupling(
        dim, transform="volume-preserving", blocks=4, width=16
    ),
    "spline": lambda dim: Coupling(dim, transform="spline", blocks=4, width=16),
    "relu": lambda dim: Coupling(dim, blocks=4, width=16, activation="relu", horizon=1.0),
    "paper": lambda dim: Coupling(dim, permutation="soft", activation="relu"),
    "autoregressive": lambda dim: Autoregressive(dim, layers=3, width=16),
    "autoregressive-spline": lambda dim: Autoregressive(
        dim, transform="spline", layers=3, width=16
    ),
    "iresnet": lambda dim: IResNet(dim, blocks=4, width=16),
    **{
        name: registry.load("backbone", name)
        for name in ("zuko:NICE", "zuko:MAF", "zuko:NSF", "normflows:RealNVP")
    },
}


TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def perturbed(name, dim, dtype):
    backbone = CONSTRUCTORS[name](dim)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return backbone.to(dtype)
