"""Several backbones, one after the other."""

import pytest
import torch

from compactflow import testing
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import Backbone
from compactflow.backbones.chain import Chain
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.iresnet import IResNet


def small(cls, **options):
    return lambda dim: cls(dim, **options)


def slopes(chain, value):
    found = torch.autograd.grad(value, list(chain.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])


LINKS = [
    small(Coupling, blocks=1, width=8),
    small(Autoregressive, layers=1, width=8),
    small(IResNet, blocks=1, width=8),
]


@pytest.mark.slow
def test_it_conforms():
    small = {"blocks": 1, "width": 8}
    links = [{"name": name, "options": small} for name in ("coupling", "iresnet")]
    results = testing.check_backbone("chain", options={"links": links})
    bad = [result for result in results if result.status not in ("passed", "skipped")]
    assert not bad


def test_it_is_its_links_one_after_the_other():
    chain, x = Chain(3, links=LINKS).double(), torch.randn(5, 3).double()
    z, total = x, torch.zeros(5).double()
    for link in chain.links:
        total = total + link.log_abs_det(z)
        z = link(z)
    torch.testing.assert_close(chain(x), z)
    torch.testing.assert_close(chain.log_abs_det(x), total)
    torch.testing.assert_close(chain.inverse(z, start=x), x)
    assert not chain.parallel
    assert Chain(3, links=LINKS[:1]).parallel


@pytest.mark.parametrize("links", [LINKS[:2], LINKS[1::-1], LINKS[:1] * 2])
def test_an_inverse_has_the_gradient_of_all_its_links_or_none(links):
    chain = Chain(3, links=links)
    z = torch.randn(5, 3, requires_grad=True)
    whole = all(isinstance(link, Coupling) for link in chain.links)
    assert chain.inverse(z).requires_grad == whole


def test_couplings_in_a_chain_push_without_noise():
    chain = Chain(3, links=LINKS[:2]).double()
    x = torch.randn(5, 3).double()

    exact = slopes(chain, chain.log_abs_det(x).mean())
    found = slopes(chain, chain.forward_and_divergence(x, 0.1)[1].mean())
    torch.testing.assert_close(found, exact)


def test_a_link_without_an_estimate_of_its_own_is_felt_by_those_before_it():
    class Bend(Backbone):
        """x + a tanh(x), with the methods of the base class only."""

        def __init__(self, dim):
            super().__init__(dim)
            self.a = torch.nn.Parameter(torch.full((dim,), 0.5))

        def forward(self, x):
            return x + self.a * x.tanh()

        def inverse(self, z, *, start=None):
            x = z
            for _ in range(200):
                x = z - self.a * x.tanh()
            return x

    torch.manual_seed(0)
    chain = Chain(2, links=[LINKS[0], Bend]).double()
    x = torch.randn(4, 2).double()

    exact = slopes(chain, chain.log_abs_det(x).mean())
    rows = x.repeat(20_000, 1)
    found = slopes(chain, chain.forward_and_divergence(rows, 1e-2)[1].mean())
    assert (found - exact).norm() < 0.03 * exact.norm()
    first = len(torch.nn.utils.parameters_to_vector(chain.links[0].parameters()))
    alone = slopes(chain, chain.links[0].log_abs_det(x).mean())
    assert (exact[:first] - alone[:first]).norm() > 0.1 * exact[:first].norm()


def test_no_links_are_refused():
    with pytest.raises(ValueError, match="at least one backbone"):
        Chain(2, links=[])
