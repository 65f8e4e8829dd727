import pytest
import torch

from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.likelihood import Likelihood
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein
from compactflow.randomness import seeded


class Plain(Backbone):
    """A backbone that writes what it must and no more."""

    def __init__(self, dim):
        super().__init__(dim)
        self.inner = Coupling(dim, blocks=2, width=3)

    def forward(self, x):
        return self.inner(x)

    def inverse(self, z, *, start=None):
        return self.inner.inverse(z)


def perturbed(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module


def make_flow():
    return CompactFlow(perturbed(Coupling(3, blocks=2, width=3).double()), Cube(3).double())


def gradient(flow, loss):
    parameters = list(flow.backbone.parameters())
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(loss, parameters, materialize_grads=True)]
    )


def test_likelihood_is_minus_mean_log_det():
    flow = make_flow()
    x = torch.randn(5, 3).double()
    _, term = Likelihood()(flow.backbone, None, x)
    torch.testing.assert_close(term, -flow.backbone.log_abs_det(x).mean())


def test_a_part_of_the_batch_still_gives_the_latents_of_all_rows():
    flow = make_flow()
    x = torch.randn(5, 3).double()
    z, term = Stein(fraction=0.5)(flow.backbone, MaxAbs(flow.latent), x, seeded(0))
    torch.testing.assert_close(z, flow.backbone(x))
    assert term.shape == ()


@pytest.mark.parametrize("push", [Mirror(), Stein(), Stein(fraction=0.5)])
@pytest.mark.parametrize("backbone", [Plain, lambda dim: Coupling(dim, transform="spline")])
def test_a_push_draws_from_the_generator_alone(push, backbone):
    flow = CompactFlow(perturbed(backbone(3).double()), Cube(3).double())
    x = torch.randn(20, 3).double()
    before = torch.get_rng_state()
    one, again, other = (
        gradient(flow, push(flow.backbone, MaxAbs(flow.latent), x, seeded(seed))[1])
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_stein_uses_a_part_of_the_batch(monkeypatch):
    flow = make_flow()
    x = torch.randn(10, 3).double()
    carrying = []
    spread = Coupling.forward_and_divergence

    def spy(network, rows, *args):
        carrying.append(len(rows))
        return spread(network, rows, *args)

    monkeypatch.setattr(Coupling, "forward_and_divergence", spy)
    Stein(fraction=0.25)(flow.backbone, None, x)
    Stein()(flow.backbone, None, x)
    assert carrying == [3, 10]


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"fraction": 0.0}, {"fraction": 1.5}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Stein(**options)
