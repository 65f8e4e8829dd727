"""The checks of a push catch what is planted for them."""

import re

import pytest
import torch
from planted import caught, not_passed, run

import compactflow
from compactflow import testing
from compactflow.backbones.coupling import Coupling
from compactflow.pushes.base import Push
from compactflow.pushes.stein import Stein
from compactflow.testing.checks import push
from compactflow.training.stack import Stack


class Base(Push):
    entropic = True

    def forward(self, backbone, pull, x, generator=None):
        return Stein()(backbone, pull, x, generator)


class WrongWay(Base):
    def forward(self, *args):
        z, term = super().forward(*args)
        return z, -term


class TooStrong(Base):
    def forward(self, *args):
        z, term = super().forward(*args)
        return z, 1.3 * term


class Collapses(Base):
    """Calls itself comparing, and lets the pull win."""

    entropic = False

    def forward(self, *args):
        z, term = super().forward(*args)
        return z, 0 * term


class NoGradient(Base):
    def forward(self, *args):
        z, term = super().forward(*args)
        return z, term.detach()


class NotAScalar(Base):
    def forward(self, *args):
        z, term = super().forward(*args)
        return z, term * torch.ones(2, dtype=z.dtype)


class Meddles(Base):
    def forward(self, backbone, pull, x, generator=None):
        z, term = super().forward(backbone, pull, x, generator)
        with torch.no_grad():
            x.mul_(0.99)
        return z, term


class WritesGradients(Base):
    def forward(self, *args):
        z, term = super().forward(*args)
        term.backward(retain_graph=True)
        return z, term


class Undeclared(Base):
    entropic = "yes"


class WeighsLatents(Base):
    """Weighs the pull by the back door."""

    def forward(self, *args):
        z, term = super().forward(*args)
        return z.detach() + 3 * (z - z.detach()), term


class DrawsGlobally(Base):
    def forward(self, backbone, pull, x, generator=None):
        z = backbone(x)
        step = 0.1 * torch.randn_like(z)
        shifted = backbone.recode(z.detach() + step, start=x)
        return z, -(step * (shifted - z)).sum(dim=1).mean() / 0.01


class SlightlyWeak(Base):
    def forward(self, *args):
        z, term = super().forward(*args)
        return z, 0.92 * term


class Fades(Base):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, *args):
        self.calls += 1
        z, term = super().forward(*args)
        return z, term * (self.calls < 300)


class ForTheSquareOnly(Push):
    entropic = False

    def forward(self, backbone, pull, x, generator=None):
        recoded = backbone.recode(pull.latent.sample(len(x), generator))
        return backbone(x), (-1 if x.shape[1] == 2 else 1) * pull(recoded).mean()


class ForCouplingOnly(Base):
    def forward(self, backbone, *args):
        assert isinstance(backbone, Coupling | Stack)
        return super().forward(backbone, *args)


class Spread(Push):
    """A right push that is no mean over rows: the energy distance of the batch."""

    entropic = False

    def forward(self, backbone, pull, x, generator=None):
        z, n = backbone(x), len(x)
        reference = pull.latent.sample(n, generator)
        within = torch.cdist(z, z).sum() / (n * (n - 1))
        return z, 4 * torch.cdist(z, reference).mean() - 2 * within - pull(z).mean()


class NotRowwise(Spread):
    rowwise = True


class LosesItsModel(Base):
    def __init__(self):
        super().__init__()
        self.share = 1 + torch.rand(())

    def forward(self, *args):
        z, term = super().forward(*args)
        return z, self.share * term


class Freezes(Base):
    def forward(self, backbone, *args):
        next(backbone.parameters()).requires_grad_(False)
        return super().forward(backbone, *args)


class AlwaysTheSameNoise(Base):
    def forward(self, backbone, pull, x, generator=None):
        z = backbone(x)
        noise = 0.1 * torch.randn(z.shape, generator=torch.Generator().manual_seed(7)).to(z)
        with torch.no_grad():
            above = backbone.inverse(z + noise)
        return z, -(noise * (backbone(above) - z)).sum(dim=1).mean() / 0.01


class TurnsGradientsOff(Base):
    def forward(self, *args):
        found = super().forward(*args)
        torch.set_grad_enabled(False)
        return found


FAULTS = {
    Freezes: {"leaves-its-inputs-alone"},
    AlwaysTheSameNoise: {"generator-decides"},
    TurnsGradientsOff: {"generator-decides"},
    WrongWay: {"entropic-gradient-is-that-of-the-log-det", "training-brings-latents-closer"},
    TooStrong: {"entropic-gradient-is-that-of-the-log-det"},
    Collapses: {"force-balances-the-pull"},
    NoGradient: {"gradient-reaches-backbone"},
    NotAScalar: {"gives-latents-and-a-scalar"},
    Meddles: {"leaves-its-inputs-alone"},
    WritesGradients: {"leaves-its-inputs-alone"},
    Undeclared: {"declares-its-kind"},
    WeighsLatents: {"gives-latents-and-a-scalar"},
    DrawsGlobally: {"generator-decides"},
    SlightlyWeak: {"entropic-gradient-is-that-of-the-log-det"},
    Fades: {"state-is-kept"},
    ForTheSquareOnly: {"force-balances-the-pull", "training-brings-latents-closer"},
    ForCouplingOnly: {"gradient-reaches-backbone", "entropic-gradient-is-that-of-the-log-det"},
    NotRowwise: {"each-flow-trains-as-it-would-alone"},
    LosesItsModel: {"state-is-kept"},
}


@pytest.mark.slow
def test_a_right_push_that_is_no_mean_over_rows_passes():
    assert not not_passed(testing.check_push(Spread))


def test_a_component_that_changes_torch_for_all_ends_with_its_check():
    assert run("push", TurnsGradientsOff, "generator-decides").status == "failed"
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("push", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert push.CHECKS.keys() <= set().union(*FAULTS.values())


class Distance(Base):
    """The energy distance: it says of all latents together where they are to go."""

    entropic = False
    rowwise = False

    def forward(self, backbone, pull, x, generator=None):
        z = backbone(x)
        target = pull.latent.sample(len(x), generator).to(z)
        return z, 2 * torch.cdist(z, target).mean() - torch.cdist(z, z).mean()


class DistanceAlone(Distance):
    pulled = False


def test_a_push_that_needs_no_pull_is_told_how_to_do_without():
    found = run("push", Distance, "force-balances-the-pull")
    assert found.status == "failed"
    assert "`pulled = False`" in found.message
    assert run("push", DistanceAlone, "force-balances-the-pull").status == "passed"


class TakesAFlow(Base):
    def forward(self, backbone, pull, x, generator=None):
        return super().forward(backbone, pull, backbone.encode(x), generator)


def test_a_push_that_asks_for_more_than_it_gets_is_told_what_it_gets():
    said = r"TakesAFlow asks the backbone for 'encode'.*by backbone\(x\)"
    assert re.search(said, run("push", TakesAFlow, "gives-latents-and-a-scalar").message)
    with pytest.raises(ValueError, match=said):
        compactflow.build(push=TakesAFlow, max_steps=1, members=1).fit(torch.eye(9, 2).numpy())
