import pytest
import torch
from constructors import perturbed

from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.coupling import Coupling
from compactflow.testing import check_backbone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("coupling", {"blocks": 2, "width": 8}), ("autoregressive", {"layers": 1, "width": 8})],
)
def test_splines_conform(name, options):
    options |= {"transform": "spline"}
    assert all(result.status == "passed" for result in check_backbone(name, options=options))


def test_one_block_is_the_papers_formula():
    backbone = Coupling(3, blocks=1, width=4, permutation="soft", activation="relu").double()
    block = backbone.blocks[0]
    with torch.no_grad():
        block.scale += torch.tensor([0.3, -1.0, 2.0])
        block.shift += torch.tensor([0.5, -0.2, 0.1])
        block.subnet[2].weight *= 20
    x = torch.tensor([[0.3, -1.2, 0.8]], dtype=torch.float64)
    first, _, second = block.subnet
    a = 0.1 * second(torch.relu(first(x[:, :2])))  # two passive channels, one active
    s, t = 2 * torch.tanh(a[:, :1] / 2), a[:, 1:]
    u = torch.cat([x[:, :2], x[:, 2:] * s.exp() + t], dim=1)
    v = u * 0.2 * torch.log(1 + torch.exp(block.scale / 2)) + block.shift
    torch.testing.assert_close(backbone(x), v @ block.rotation.T)


def test_fresh_global_affine_does_nothing():
    block = Coupling(4, blocks=1).double().blocks[0]
    scale = 0.2 * torch.log(1 + torch.exp(block.scale / 2))
    torch.testing.assert_close(scale, torch.ones(4, dtype=torch.float64), atol=1e-7, rtol=0)


def test_volume_preserving_log_det_is_the_same_everywhere():
    backbone = perturbed("volume-preserving", 6, torch.float64)
    log_det = backbone.log_abs_det(3 * torch.randn(64, 6, dtype=torch.float64))
    assert log_det.std() < 1e-12
    additive = perturbed("additive", 6, torch.float64)
    assert additive.log_abs_det(torch.randn(64, 6, dtype=torch.float64)).std() < 1e-12


@pytest.mark.parametrize("make", [Coupling, Autoregressive])
def test_a_fresh_spline_is_the_identity_and_a_trained_one_is_not_affine(make):
    backbone = make(1, transform="spline").double()
    x = torch.linspace(-4, 4, 41).double()[:, None]
    torch.testing.assert_close(backbone(x).diff(dim=0).std(dim=0), torch.zeros(1).double())
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 5 * torch.randn_like(parameter)
        slopes = backbone(x).diff(dim=0)
    assert (slopes > 0).all()
    assert slopes.max() > 1.2 * slopes.min()
