"""Networks side by side are the same networks."""

import pytest
import torch

from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.stack import Stack

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
