"""How often a step and a decode run the network: a guard on speed that no clock disturbs."""

import pytest
import torch

from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.iresnet import IResNet
from compactflow.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.likelihood import Likelihood
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein

DIM, ROWS, BLOCKS = 6, 32, 3


def count_subnets(backbone, call):
    """Rows that the subnets of a coupling flow see in a call, in passes of a batch."""
    rows = []
    hooks = [
        block.subnet.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))
        for block in backbone.blocks
    ]
    call()
    for hook in hooks:
        hook.remove()
    return sum(rows) / (ROWS * BLOCKS)


@pytest.mark.parametrize(
    ("push", "passes"),
    [(Likelihood(), 1), (Mirror(), 2), (Stein(), 2), (Stein(fraction=0.25), 1.25)],
)
def test_passes_of_a_training_step(push, passes):
    flow = CompactFlow(Coupling(DIM, blocks=BLOCKS, width=8), Cube(DIM))
    x, pull = torch.randn(ROWS, DIM), MaxAbs(flow.latent)
    assert count_subnets(flow.backbone, lambda: push.loss(flow, x, pull).backward()) == passes


def test_passes_of_both_directions():
    backbone, x = Coupling(DIM, blocks=BLOCKS, width=8), torch.randn(ROWS, DIM)
    with torch.no_grad():
        assert count_subnets(backbone, lambda: backbone(x)) == 1
        assert count_subnets(backbone, lambda: backbone.inverse(x)) == 1
        assert count_subnets(backbone, lambda: backbone.forward_and_log_abs_det(x)) == 1


@pytest.mark.parametrize(
    ("backbone", "cold", "warm"),
    [
        (Autoregressive(DIM, layers=BLOCKS, width=16), DIM + 1, DIM + 1),
        (IResNet(DIM, blocks=BLOCKS, width=16), 20, 15),
    ],
)
def test_iterations_of_an_iterative_decode(backbone, cold, warm):
    x = torch.randn(ROWS, DIM)
    with torch.no_grad():
        z = backbone(x)
    backbone.inverse(z)
    assert max(backbone.iterations) <= cold
    backbone.inverse(z + 0.01 * torch.randn_like(z), start=x)
    assert max(backbone.iterations) <= warm
