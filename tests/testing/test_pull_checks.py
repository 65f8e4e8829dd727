"""The checks of a pull catch what is planted for them."""

import math
import re
from ast import literal_eval

import pytest
import torch
from planted import caught

from compactflow import testing
from compactflow.latents.cube import Cube
from compactflow.pulls.base import Pull
from compactflow.pulls.norms import Euclidean, MaxAbs
from compactflow.testing.checks import (
    pull,
)


class NotConvex(Pull):
    def forward(self, z):
        return z.norm(dim=1) + 0.3 * torch.cos(6 * z[:, 0])


class GrowsInward(Pull):
    def forward(self, z):
        return -z.abs().amax(dim=1)


class FlatFarAway(Pull):
    def forward(self, z):
        return z.norm(dim=1).clamp(max=100)


class NoGradientAtZero(Pull):
    def forward(self, z):
        return z.square().sum(dim=1).sqrt()


class PullOverflows(Pull):
    def forward(self, z):
        return z.exp().add((-z).exp()).sum(dim=1)


class PullLosesState(Pull):
    def __init__(self, latent):
        super().__init__(latent)
        self.slope = float(1 + torch.rand(()))

    def forward(self, z):
        return self.slope * z.norm(dim=1)


class PullOnCpu(Pull):
    def __init__(self, latent):
        super().__init__(latent)
        self.slope = torch.ones(latent.dim)

    def forward(self, z):
        return (self.slope * z).norm(dim=1).to(z.dtype)


class OneValue(Pull):
    def forward(self, z):
        return z.norm()


class BendsDown(Pull):
    """Convex on the support, and then less steep."""

    def forward(self, z):
        size = z.norm(dim=1)
        return size - 0.2 * (size - 1).clamp(0, 0.5)


class WrongSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.1 * gradient


class WrongGradient(Pull):
    def forward(self, z):
        return WrongSlope.apply(z).norm(dim=1)


class MixesValues(Pull):
    def forward(self, z):
        return z.norm(dim=1) + z.mean()


class PullInPlace(Pull):
    def forward(self, z):
        return z.mul_(1.01).norm(dim=1)


class OfTheCube(Pull):
    def forward(self, z):
        return z.abs().amax(dim=1) if isinstance(self.latent, Cube) else -z.norm(dim=1)


class HalfTheGradient(Pull):
    def forward(self, z):
        return z.square().sum(dim=1)

    def value_and_gradient(self, z):
        return self(z), z


class SettlesAtSamples(Pull):
    def forward(self, z):
        return z.square().sum(dim=1)

    def settle(self, n, generator=None, *, level=math.inf):
        return self.latent.sample(n, generator)


class GrowsInwardInEight(Pull):
    def forward(self, z):
        return (1 if z.shape[1] < 8 else -1) * z.norm(dim=1)


FAULTS = {
    HalfTheGradient: {"value-and-gradient-are-autograds"},
    SettlesAtSamples: {"settled-latents-follow-the-pull"},
    GrowsInwardInEight: {"grows-outward"},
    BendsDown: {"convex-across-the-boundary"},
    WrongGradient: {"gradient-is-the-slope"},
    MixesValues: {"rows-are-independent"},
    PullInPlace: {"leaves-its-input-alone"},
    OfTheCube: {"grows-outward", "confines"},
    NotConvex: {"convex-on-support"},
    GrowsInward: {"grows-outward", "convex-on-support", "confines"},
    FlatFarAway: {"confines"},
    NoGradientAtZero: {"gradient-is-finite"},
    PullOverflows: {"finite-far-away"},
    PullLosesState: {"state-survives-saving"},
    PullOnCpu: {"follows-device-and-dtype"},
    OneValue: {"dimensions"},
}


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("pull", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert pull.CHECKS.keys() <= set().union(*FAULTS.values())


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_theory_of_pulls(dim):
    before = torch.get_rng_state()
    cube = Cube(dim)
    for right in (MaxAbs(cube), Euclidean(cube)):
        assert testing.convexity_violation(right) is None
        assert testing.outward_violation(right) is None
    assert "not convex" in testing.convexity_violation(NotConvex(cube))
    assert "not increasing outward" in testing.outward_violation(GrowsInward(cube))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_violation_says_where():
    reason = testing.convexity_violation(GrowsInward(Cube(2)))
    found = re.findall(r"= (\(.*?\)|[-\d.]+)", reason)
    value, chord, a, b = map(literal_eval, found)
    a, b = torch.tensor(a), torch.tensor(b)
    wrong = GrowsInward(Cube(2))
    assert float(wrong((a + b)[None] / 2)) == pytest.approx(value, abs=0.01)
    assert float((wrong(a[None]) + wrong(b[None])) / 2) == pytest.approx(chord, abs=0.01)
    assert value > chord
