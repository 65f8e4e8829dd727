"""Networks side by side are the same networks."""

import pytest
import torch
from torch import nn

from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.training.stack import Stack

NETWORKS = {
    "affine": lambda: Coupling(5, blocks=3, width=8),
    "relu": lambda: Coupling(4, blocks=3, width=8, activation="relu", horizon=1.0),
    "additive": lambda: Coupling(5, blocks=3, width=8, transform="additive"),
    "volume-preserving": lambda: Coupling(5, blocks=3, width=8, transform="volume-preserving"),
    "spline": lambda: Coupling(5, blocks=3, width=8, transform="spline"),
    "one feature": lambda: Coupling(1, blocks=3, transform="spline"),
    "not parallel": lambda: Autoregressive(3, layers=2, width=8),
}


@pytest.fixture(params=NETWORKS, name="networks")
def make_networks(request):
    torch.manual_seed(0)
    networks = [NETWORKS[request.param]().double() for _ in range(3)]
    for network in networks:
        for parameter in network.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return networks


def in_turn(networks, x, function):
    return torch.cat([function(networks[i % 3], x[i : i + 1]) for i in range(len(x))])


def test_rows_pass_in_turn(networks):
    stack = Stack(networks)
    x = torch.randn(10, stack.dim, dtype=torch.float64)
    z = stack(x)
    torch.testing.assert_close(z, in_turn(networks, x, lambda network, row: network(row)))
    exact = in_turn(networks, x, lambda network, row: network.log_abs_det(row))
    torch.testing.assert_close(stack.log_abs_det(x), exact)
    both = stack.forward_and_log_abs_det(x)
    torch.testing.assert_close(both, (z, exact))
    torch.testing.assert_close(stack.inverse(z), x)
    torch.testing.assert_close(stack.inverse(z, start=x), x)


def test_recode_has_the_gradient_of_encoding(networks):
    stack = Stack(networks)
    x = torch.randn(10, stack.dim, dtype=torch.float64)
    direction = torch.randn_like(x)
    parameters = list(stack.parameters())
    z = stack(x)
    exact = torch.autograd.grad((z * direction).sum(), parameters, allow_unused=True)
    recoded = stack.recode(z.detach(), start=x)
    torch.testing.assert_close(recoded, z)
    ours = torch.autograd.grad((recoded * direction).sum(), parameters, allow_unused=True)
    for a, b in zip(ours, exact, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("rows", [4, 10])
def test_encoding_with_the_divergence(networks, rows):
    stack = Stack(networks)
    x = torch.randn(rows, stack.dim, dtype=torch.float64)
    z, divergence = stack.forward_and_divergence(x, 0.1)
    torch.testing.assert_close(z, in_turn(networks, x, lambda network, row: network(row)))
    assert divergence.shape == (rows,)
    divergence.sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in stack.parameters())


def test_weights_come_back(networks):
    stack = Stack(networks)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.mul_(1.5)
    x = torch.randn(6, stack.dim, dtype=torch.float64)
    z = stack(x)
    stack.unstack(networks)
    torch.testing.assert_close(z, in_turn(networks, x, lambda network, row: network(row)))


def test_the_networks_one_by_one_share_the_weights(networks):
    stack = Stack(networks)
    x = torch.randn(12, stack.dim, dtype=torch.float64)
    apart = [single(rows) for single, rows in zip(stack.singles(), stack.split(x), strict=True)]
    z = stack(x)
    torch.testing.assert_close(torch.stack(apart, dim=1).flatten(0, 1), z)
    parameters = list(stack.parameters())
    weights = torch.randn(4, 3, stack.dim, dtype=torch.float64)
    loss = sum((weights[:, m] * rows).sum() for m, rows in enumerate(apart))
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    exact = torch.autograd.grad((weights.flatten(0, 1) * z).sum(), parameters, allow_unused=True)
    for a, b in zip(found, exact, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b)


def test_the_networks_one_by_one_follow_the_weights(networks):
    stack = Stack(networks)
    x = torch.randn(4, stack.dim, dtype=torch.float64)
    before = [single(x) for single in stack.singles()]
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.mul_(1.5)
    for m, single in enumerate(stack.singles()):
        z = single(x)
        assert not torch.equal(z, before[m])
        torch.testing.assert_close(z, stack(x.repeat_interleave(3, dim=0))[m::3])


class Odd(Backbone):
    """Has a tied, a frozen and an absent parameter, and an absent buffer."""

    parallel = True

    def __init__(self, dim):
        super().__init__(dim)
        self.scale = nn.Parameter(0.1 * torch.randn(dim))
        self.tied = self.scale
        self.frozen = nn.Parameter(1 + torch.rand(dim), requires_grad=False)
        self.register_parameter("absent", None)
        self.register_buffer("nothing", None)

    def forward(self, x):
        return x * (self.scale + 2 * self.tied).exp().unsqueeze(-2) * self.frozen.unsqueeze(-2)

    def inverse(self, z, *, start=None):
        return z / (self.scale + 2 * self.tied).exp().unsqueeze(-2) / self.frozen.unsqueeze(-2)


def test_tied_frozen_and_absent_parameters_stay_so():
    networks = [Odd(3) for _ in range(2)]
    frozen = [network.frozen.clone() for network in networks]
    stack = Stack(networks)
    merged = stack.networks[0]
    assert merged.tied is merged.scale
    assert not merged.frozen.requires_grad
    assert merged.absent is merged.nothing is None
    optimizer = torch.optim.SGD([p for p in stack.parameters() if p.requires_grad], lr=0.1)
    stack(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()
    x = torch.randn(6, 3)
    z = stack(x)
    stack.unstack(networks)
    for m, network in enumerate(networks):
        assert network.tied is network.scale
        assert torch.equal(network.frozen, frozen[m])
        torch.testing.assert_close(network(x[m::2]), z[m::2])
