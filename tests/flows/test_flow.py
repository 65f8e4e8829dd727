"""The flow as an ordinary torch module: others' tools take it without a wrapper."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from compactflow import CompactFlow
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.coupling import Coupling
from compactflow.latents.cube import Cube
from compactflow.preprocessing.marginal import Marginal


@pytest.fixture(params=[Coupling, Autoregressive], ids=["coupling", "autoregressive"])
def flow(request):
    torch.manual_seed(0)
    layer = Marginal(3)
    layer.fit(torch.randn(50, 3).double().numpy())
    options = {"blocks": 1} if request.param is Coupling else {"layers": 1}
    return CompactFlow(request.param(3, **options), Cube(3), layer)


@pytest.fixture
def x():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(1))


def test_a_call_encodes_with_hooks(flow, x):
    calls = []
    flow.register_forward_hook(lambda module, given, latents: calls.append(latents))
    assert torch.equal(flow(x), flow.encode(x))
    assert len(calls) == 2
    head = nn.Linear(3, 1)
    assert torch.equal(nn.Sequential(flow, head)(x), head(flow.encode(x)))


def test_it_exports_for_any_number_of_rows(flow, x):
    shapes = ({0: torch.export.Dim("rows", min=2)},)
    exported = torch.export.export(flow, (x,), dynamic_shapes=shapes).module()
    for rows in (x, torch.cat([x, 100 * x])):
        torch.testing.assert_close(exported(rows), flow(rows))


@pytest.mark.filterwarnings("ignore:.*searchsorted:UserWarning")
def test_functional_transforms_apply(flow, x):
    parameters = dict(flow.named_parameters())

    def loss(parameters, row):
        return torch.func.functional_call(flow, parameters, (row[None],)).square().sum()

    by_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    flow(x).square().sum().backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(by_row[name].sum(dim=0), parameter.grad)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda row: flow(row[None])[0]))(x)
    expected = flow.backbone.log_abs_det(flow.preprocess(x)) + flow.preprocessing.log_abs_det(x)
    torch.testing.assert_close(jacobians.slogdet().logabsdet.double(), expected.double())


def test_it_trains_in_parallel_processes(flow, x, tmp_path):
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "s"), 1), rank=0, world_size=1
    )
    try:
        latents = DistributedDataParallel(flow)(x)
        flow.latent.signed_distance(latents).sum().backward()
    finally:
        dist.destroy_process_group()
    assert torch.equal(latents, flow(x))
    assert all(parameter.grad is not None for parameter in flow.parameters())
