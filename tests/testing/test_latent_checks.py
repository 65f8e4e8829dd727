"""The checks of a latent, its levels and its distribution catch what is planted for them."""

from math import sqrt

import pytest
import torch
from planted import Square, caught, run

from compactflow.testing.checks import latent, support


class BiasedSampler(Square):
    def sample(self, n, generator=None):
        return super().sample(n, generator) * 0.95


class WrongLaw(Square):
    """Right moments and reach, wrong law: every second sample lies near a corner of a cube."""

    def sample(self, n, generator=None):
        z, near = super().sample(n, generator), 0.1 * super().sample(n, generator)
        right = torch.arange(n, device=z.device)[:, None] % 2 == 0
        return torch.where(right, z, sqrt(0.33) * z.sign() + near)


class IgnoresGenerator(Square):
    def sample(self, n, generator=None):
        return super().sample(n)


class SamplesOutside(Square):
    def sample(self, n, generator=None):
        return 1.3 * super().sample(n, generator)


class Unnormalised(Square):
    def log_prob(self, z):
        return super().log_prob(z) + 0.1


class LatentLosesState(Square):
    def __init__(self, dim):
        super().__init__(dim)
        self.centre = float(torch.randn(()))

    def signed_distance(self, z):
        return super().signed_distance(z - self.centre)


class DrawsOnCpu(Square):
    def sample(self, n, generator=None):
        return (2 * torch.rand(n, self.dim, generator=generator) - 1).to(self.like.dtype)


class ComputesOnCpu(Square):
    def __init__(self, dim):
        super().__init__(dim)
        self.side = torch.ones(dim)

    def constraints(self, z):
        return (z.abs() - self.side).to(z.dtype)


class NoSuchPull(Square):
    confining_pull = "no-such-pull"


class WrongShape(Square):
    def signed_distance(self, z):
        return super().signed_distance(z).unsqueeze(1)


class ProjectsInPlace(Square):
    def project(self, z):
        return z.clamp_(-1, 1)


class WrongInOdd(Square):
    def log_prob(self, z):
        return super().log_prob(z) + 0.2 * (self.dim == 3)


class Antithetic(Square):
    def sample(self, n, generator=None):
        z = super().sample((n + 1) // 2, generator)
        return torch.cat([z, -z])[:n]


class Twice(Square):
    def sample(self, n, generator=None):
        return super().sample((n + 1) // 2, generator).repeat_interleave(2, dim=0)[:n]


class AlwaysTheSame(Square):
    def sample(self, n, generator=None):
        if generator is None and not self.like.is_meta:
            generator = torch.Generator().manual_seed(7)
        return super().sample(n, generator)


class ForgetsItsData(Square):
    def __init__(self, dim):
        super().__init__(dim)
        self.size = 1.0

    def adapt(self, x):
        self.size = float(x.abs().max())

    def signed_distance(self, z):
        return super().signed_distance(z / self.size)


class OffTheLevel(Square):
    def level_boundary(self, n, level, generator=None):
        return 1.01 * super().level_boundary(n, level, generator)


class ForgetsTheLevel(Square):
    def level_project(self, z, level):
        return self.project(z)


class OldGauge(Square):
    def level_gauge(self, z, level):
        return self.gauge(z)


class HeapsUp(Square):
    def level_sample(self, n, level, generator=None):
        return self.level_project(2 * self.sample(n, generator), level)


class LevelEndsTooSoon(Square):
    def level_sample(self, n, level, generator=None):
        return 0.98 * self.cube.level_sample(n, level, generator)


class LevelIsNarrow(Square):
    """Samples of a level end a little too soon, along one axis."""

    def level_sample(self, n, level, generator=None):
        z = self.cube.level_sample(n, level, generator)
        return torch.cat([0.98 * z[:, :1], z[:, 1:]], dim=1)


class EndsTooSoon(Square):
    def sample(self, n, generator=None):
        return 0.98 * super().sample(n, generator)


class BoundaryDrawsGlobally(Square):
    def boundary(self, n, generator=None):
        return super().boundary(n)


class SoftensNothing(Square):
    def sample_softened(self, n, slope, generator=None):
        return self.sample(n, generator)


class OtherSlope(Square):
    def constraints(self, z):
        c = super().constraints(z)
        return 2 * c - c.detach()


class OtherWhenItEvaluates(Square):
    def signed_distance(self, z):
        return super().signed_distance(z) * (1 if self.training else 1.1)


class WideEdge(Square):
    edge = 40.0


class Follows(Square):
    """A right one, to plant faults in: the cube around the data's mean."""

    default_pull = "barrier"

    def __init__(self, dim):
        super().__init__(dim)
        self.register_buffer("centre", torch.zeros(dim))

    def adapt(self, x):
        self.centre = x.mean(dim=0)

    def sample(self, n, generator=None):
        return super().sample(n, generator) + self.centre

    def constraints(self, z):
        return super().constraints(z - self.centre)

    def gauge(self, z):
        raise NotImplementedError("it is not around 0")

    def project(self, z):
        return super().project(z - self.centre) + self.centre

    def boundary(self, n, generator=None):
        return super().boundary(n, generator) + self.centre

    def log_prob(self, z):
        return super().log_prob(z - self.centre)


class AddsUp(Follows):
    def adapt(self, x):
        self.centre = self.centre + x.mean(dim=0)


class AdaptsInPlace(Follows):
    def adapt(self, x):
        self.centre = x.mean(dim=0)
        x -= self.centre


class DensityStaysBehind(Follows):
    def log_prob(self, z):
        return super().log_prob(z + self.centre)


FAULTS = {
    BoundaryDrawsGlobally: {"generator-decides"},
    SoftensNothing: {"softened-samples-follow-their-density"},
    OtherSlope: {"gradients-are-slopes"},
    OtherWhenItEvaluates: {"rows-are-independent"},
    WideEdge: {"pulls-serve"},
    AddsUp: {"adapts-to-data"},
    AdaptsInPlace: {"adapts-to-data"},
    DensityStaysBehind: {"adapts-to-data"},
    OffTheLevel: {"level-boundary-has-the-level"},
    ForgetsTheLevel: {"level-projection-lands-near"},
    OldGauge: {"level-gauge-fits"},
    HeapsUp: {"level-samples-are-uniform"},
    LevelEndsTooSoon: {"level-samples-are-uniform"},
    LevelIsNarrow: {"level-samples-are-uniform"},
    EndsTooSoon: {"samples-follow-density"},
    ProjectsInPlace: {"leaves-its-input-alone"},
    WrongInOdd: {"density-integrates-to-one"},
    Antithetic: {"samples-are-independent"},
    Twice: {"samples-are-independent"},
    AlwaysTheSame: {"generator-decides"},
    ForgetsItsData: {"adapts-to-data", "fits-saves-and-loads"},
    BiasedSampler: {"samples-follow-density"},
    WrongLaw: {"samples-follow-density"},
    IgnoresGenerator: {"generator-decides"},
    SamplesOutside: {"samples-lie-inside", "samples-follow-density"},
    Unnormalised: {"density-integrates-to-one"},
    LatentLosesState: {"state-survives-saving"},
    DrawsOnCpu: {"follows-device-and-dtype"},
    ComputesOnCpu: {"follows-device-and-dtype"},
    NoSuchPull: {"pulls-serve"},
    WrongShape: {"dimensions"},
}


def test_a_latent_that_follows_the_data_passes():
    assert run("latent", Follows, "adapts-to-data").status == "passed"


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("latent", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert latent.CHECKS.keys() - support.CHECKS.keys() <= set().union(*FAULTS.values())
