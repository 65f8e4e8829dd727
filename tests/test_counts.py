"""How much work a step and a decode are: a guard on speed that no clock disturbs."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import compactflow
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.iresnet import IResNet
from compactflow.backbones.subnets import Subnet
from compactflow.flows.flow import CompactFlow
from compactflow.flows.search import Search
from compactflow.latents.cube import Cube
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.likelihood import Likelihood
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein
from compactflow.training.judge import Judge

DIM, ROWS, BLOCKS = 6, 32, 3


def loss(push, flow, pull, x):
    z, term = push(flow.backbone, pull, x)
    return pull(z).mean() + term


def count_subnets(backbone, call):
    """Rows that the subnets of a coupling flow see in a call, in passes of a batch."""
    rows = []
    hooks = [
        block.subnet[0].register_forward_hook(lambda _, args, output: rows.append(len(args[0])))
        for block in backbone.blocks
    ]
    call()
    for hook in hooks:
        hook.remove()
    return sum(rows) / (ROWS * BLOCKS)


@pytest.mark.parametrize(
    ("push", "passes"), [(Likelihood(), 1), (Mirror(), 2), (Stein(), 1), (Stein(fraction=0.25), 1)]
)
def test_passes_of_a_training_step(push, passes):
    flow = CompactFlow(Coupling(DIM, blocks=BLOCKS, width=8), Cube(DIM))
    x, pull = torch.randn(ROWS, DIM), MaxAbs(flow.latent)
    step = count_subnets(flow.backbone, lambda: loss(push, flow, pull, x).backward())
    assert step == passes


def test_passes_of_both_directions():
    backbone, x = Coupling(DIM, blocks=BLOCKS, width=8), torch.randn(ROWS, DIM)
    with torch.no_grad():
        assert count_subnets(backbone, lambda: backbone(x)) == 1
        assert count_subnets(backbone, lambda: backbone.inverse(x)) == 1
        assert count_subnets(backbone, lambda: backbone.forward_and_log_abs_det(x)) == 1


class Allocations(TorchDispatchMode):
    """Counts the numbers in new tensors, views not among them."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        old = {each.untyped_storage().data_ptr() for each in tensors((args, kwargs))}
        for each in tensors(result):
            if each.untyped_storage().data_ptr() not in old:
                self.numbers += each.untyped_storage().nbytes() // each.element_size()
        return result


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


# Products: those of matrices, in units of an encode's. Numbers: of new tensors, for each feature,
# row and block.
@pytest.mark.parametrize(
    ("backbone", "push", "products", "numbers"),
    [
        (Coupling, Likelihood(), 2.6, 17),
        (Coupling, Mirror(), 5.2, 56),
        (Coupling, Stein(), 2.6, 17),
        (IResNet, Mirror(), 9.5, 92),
        (IResNet, Stein(), 6.6, 74),
    ],
)
def test_work_of_a_training_step(backbone, push, products, numbers):
    dim, rows, blocks = 16, 256, 4
    flow = CompactFlow(backbone(dim, blocks=blocks, width=16), Cube(dim))
    x, pull = torch.randn(rows, dim), MaxAbs(flow.latent)
    with FlopCounterMode(display=False) as encode, torch.no_grad():
        flow.backbone(x)
    with FlopCounterMode(display=False) as step, Allocations() as allocations:
        loss(push, flow, pull, x).backward()
    assert step.get_total_flops() <= products * encode.get_total_flops()
    assert allocations.numbers <= numbers * dim * rows * blocks


def test_a_search_of_many_rows_is_one_product_whose_memory_serves_again():
    members, rows, known, dim = 4, 256, 4096, 8
    search = Search(torch.randn(members, known, dim), 20)
    with FlopCounterMode(display=False) as work, Allocations() as made:
        search(torch.randn(members, rows, dim))
    assert work.get_total_flops() == 2 * members * rows * known * (dim + 2)
    assert made.numbers <= 0.75 * members * rows * known


@pytest.mark.parametrize(
    ("backbone", "cold", "warm"),
    [
        (Autoregressive(DIM, layers=BLOCKS, width=16), DIM + 1, DIM + 1),
        (IResNet(DIM, blocks=BLOCKS, width=16), 7, 5),
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


def test_monitors_of_a_wide_table_are_a_small_share_of_the_training(monkeypatch):
    rows = {"checks": 0, "all": 0}
    check, evaluate, vjp = Judge.check, Subnet.evaluate, Subnet.vjp

    def counted(subnet, x, unit):
        rows["all"] += x.shape[:-1].numel()
        return evaluate(subnet, x, unit)

    def counted_vjp(subnet, kept, gradient, **options):
        rows["all"] += 2 * gradient.shape[:-1].numel()
        return vjp(subnet, kept, gradient, **options)

    def counted_check(*args):
        before = rows["all"]
        result = check(*args)
        rows["checks"] += rows["all"] - before
        return result

    monkeypatch.setattr(Subnet, "evaluate", counted)
    monkeypatch.setattr(Subnet, "vjp", counted_vjp)
    monkeypatch.setattr(Judge, "check", counted_check)
    X = np.random.default_rng(0).normal(size=(1000, 512))
    options = {"blocks": 1, "width": 1}
    detector = compactflow.build(
        preprocessing="none", score_by="support", backbone_options=options, random_state=0
    ).fit(X)
    assert len(detector.history_["step"]) >= 2
    assert 0 < rows["checks"] < 0.05 * rows["all"]
