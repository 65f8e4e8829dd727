import pytest
import torch

from compactflow.backbones.coupling import Coupling
from compactflow.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.likelihood import Likelihood
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein


def make_flow():
    backbone = Coupling(3, blocks=2, width=3).double()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return CompactFlow(backbone, Cube(3).double())


def gradient(flow, loss):
    parameters = list(flow.backbone.parameters())
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(loss, parameters, materialize_grads=True)]
    )


def test_stein_gradient_is_that_of_minus_log_det():
    flow = make_flow()
    x = 0.5 * torch.randn(8, 3).double()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: flow.backbone(row[None])[0]))
    exact = gradient(flow, -torch.linalg.slogdet(jacobian(x))[1].mean())
    push, draws = Stein(sigma=1e-3), []
    rows = x.repeat(500, 1)
    for _ in range(40):
        draws.append(gradient(flow, push(flow, rows, flow.backbone(rows), None)))
    draws = torch.stack(draws)
    error = draws.std(dim=0) / len(draws) ** 0.5
    # Smoothing at sigma adds a bias of its order where a ReLU bends.
    assert ((draws.mean(dim=0) - exact).abs() <= 5 * error + 2e-3).all()
    assert (draws.mean(dim=0) - exact).norm() <= 0.05 * exact.norm()


def test_likelihood_is_minus_mean_log_det():
    flow = make_flow()
    x = torch.randn(5, 3).double()
    expected = -flow.backbone.log_abs_det(x).mean()
    torch.testing.assert_close(Likelihood()(flow, x, flow.backbone(x), None), expected)


@pytest.mark.parametrize("push", [Likelihood(), Mirror(), Stein(), Stein(fraction=0.5)])
def test_loss_is_the_weighted_pull_and_the_push(push):
    flow = make_flow()
    pull = MaxAbs(flow.latent)
    pull.weight = 2.0
    x = torch.randn(5, 3).double()
    z = flow.backbone(x)
    torch.manual_seed(0)
    expected = 2.0 * pull(z).mean() + push(flow, x, z, pull)
    torch.manual_seed(0)
    torch.testing.assert_close(push.loss(flow, x, pull), expected)


@pytest.mark.parametrize(("scale", "balanced"), [(1.0, True), (0.5, False), (1.5, False)])
def test_mirror_balances_the_pull_exactly_at_the_solution(scale, balanced):
    flow = make_flow()
    pull, push, draws = MaxAbs(flow.latent), Mirror(), []
    for _ in range(60):
        with torch.no_grad():
            x = flow.backbone.inverse(scale * flow.latent.sample(1000))
        z = flow.backbone(x)
        draws.append(gradient(flow, pull(z).mean() + push(flow, x, z, pull)))
    draws = torch.stack(draws)
    score = draws.mean(dim=0) / (draws.std(dim=0) / len(draws) ** 0.5 + 1e-12)
    assert (score.abs().max() < 5) == balanced


def test_stein_uses_a_part_of_the_batch():
    flow = make_flow()
    calls = []
    flow.backbone.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    x = torch.randn(10, 3).double()
    z = flow.backbone(x)
    Stein(fraction=0.25)(flow, x, z, None)
    assert calls == [10]


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"fraction": 0.0}, {"fraction": 1.5}])
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Stein(**options)
