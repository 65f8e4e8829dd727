import math

import pytest
import torch
from torch.nn.functional import softplus

from compactflow.backbones.iresnet import IResNet, spectral_bound


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (64, 64), (128, 7)])
def test_spectral_bound_is_tight_and_above(shape):
    weight = torch.randn(shape) * 10 ** torch.empty(()).uniform_(-6, 6)
    exact = torch.linalg.svdvals(weight.double())[0]
    assert exact <= spectral_bound(weight) <= 1.09 * exact


def test_spectral_bound_has_the_gradient_of_its_differences():
    weight = torch.randn(7, 5, dtype=torch.float64)
    direction = torch.randn_like(weight)
    gradient = torch.func.grad(spectral_bound)(weight)
    step = 1e-6 * direction
    expected = (spectral_bound(weight + step) - spectral_bound(weight - step)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-6, atol=0)


def test_spectral_bound_of_extremes():
    assert spectral_bound(torch.zeros(3, 3)) < 1e-6
    assert 1 <= spectral_bound(torch.eye(128)) < 1.09


def test_lipschitz_bound_holds_after_every_step():
    backbone = IResNet(4, blocks=2, width=16, lipschitz=0.8)
    optimizer = torch.optim.SGD(backbone.parameters(), lr=3.0)
    for _ in range(30):
        x = torch.randn(32, 4)
        loss = -(backbone(x) ** 2).mean() + (backbone(x) ** 4).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
        optimizer.step()
        for block in backbone.blocks:
            norms = [torch.linalg.svdvals(w.double())[0] for w, _ in block.weights()]
            # The activation's slope, at most 1.1, acts twice; the weights are divided by it.
            assert 1.1**2 * math.prod(norms) <= 0.8
    with torch.no_grad():
        a, b = 5 * torch.randn(2, 1000, 4)
        for block in backbone.blocks:
            unscaled = [(block(t) - block.shift) / softplus(block.scale) - t for t in (a, b)]
            ratio = (unscaled[0] - unscaled[1]).norm(dim=1) / (a - b).norm(dim=1)
            assert ratio.max() <= 0.8 + 1e-5
