"""The checks of a latent's support catch what is planted for them."""

import pytest
import torch
from planted import Square, caught, run

from compactflow.latents.ball import Ball
from compactflow.latents.base import Latent, sphere
from compactflow.testing.checks import support


class WrongSign(Square):
    def signed_distance(self, z):
        return -super().signed_distance(z)


class Jumps(Square):
    def signed_distance(self, z):
        distance = super().signed_distance(z)
        return torch.where(distance > 0, distance + 0.1, distance)


class OffBoundary(Square):
    def boundary(self, n, generator=None):
        return 0.99 * super().boundary(n, generator)


class ProjectsRadially(Square):
    def project(self, z):
        return z / self.gauge(z).clamp(min=1).unsqueeze(1)


class ProjectsTooFar(Square):
    def project(self, z):
        return z.clamp(-0.9, 0.9)


class ProjectsOutside(Square):
    def project(self, z):
        return z.clamp(-1.1, 1.1)


class SquaredGauge(Square):
    def gauge(self, z):
        return super().gauge(z) ** 2


class LatentOverflows(Square):
    def constraints(self, z):
        return ((z.abs() - 1) / (z - 2e5).clamp(max=0).abs()) * (2e5 - z)


class Scaled(Square):
    def constraints(self, z):
        return 0.7 * super().constraints(z)


class Cubed(Square):
    def constraints(self, z):
        return super().constraints(z) ** 3


class Flattened(Square):
    def constraints(self, z):
        return super().constraints(z).tanh()


class RadialInThree(Square):
    def project(self, z):
        return super().project(z) if self.dim < 3 else z / self.gauge(z).clamp(min=1)[:, None]


class WithoutAFace(Square):
    def boundary(self, n, generator=None):
        z = super().boundary(n, generator)
        return torch.where(z[:, :1] >= 1, -z, z)


class OutOfOrder(Square):
    def boundary(self, n, generator=None):
        return super().boundary(n, generator)[torch.arange(n) * 7 % n]


class OneSided(Square):
    """Boundary points on one side of an axis, where points are too few to lie near all others."""

    def boundary(self, n, generator=None):
        z = super().boundary(n, generator)
        return torch.cat([z[:, :1].abs(), z[:, 1:]], dim=1) if self.dim > 3 else z


class FlatInside(Square):
    def signed_distance(self, z):
        return super().signed_distance(z).clamp(min=-0.3)


class ProjectsInSingle(Square):
    """Right in float64; in float32 its squares overflow to a projection at 0."""

    def project(self, z):
        return super().project(z) / z.square().pow(8).sum(dim=1, keepdim=True).clamp(max=1e99) ** 0


class HalfBall(Latent):
    """A right latent of two constraints that overlap, and deepest away from 0: a ball, cut."""

    cut = 0.3

    def sample(self, n, generator=None):
        z = Ball(self.dim).to(self.like).sample(8 * n, generator)
        return z[torch.argsort((z[:, 0] < -self.cut).int(), stable=True)][:n]

    def constraints(self, z):
        return torch.stack([z.norm(dim=1) - 1, -z[:, 0] - self.cut], dim=1)

    def gauge(self, z):
        return torch.maximum(z.norm(dim=1), -z[:, 0] / self.cut)

    def project(self, z):
        onto, rest = Ball(self.dim).project(z), z[:, 1:]
        length = rest.norm(dim=1, keepdim=True).clamp_min((1 - self.cut**2) ** 0.5)
        flat = torch.cat(
            [torch.full_like(z[:, :1], -self.cut), rest * (1 - self.cut**2) ** 0.5 / length], dim=1
        )
        return torch.where(onto[:, :1] >= -self.cut, onto, flat)

    def boundary(self, n, generator=None):
        direction = sphere(self._normal(n, generator))
        return direction / self.gauge(direction)[:, None]

    def log_prob(self, z):
        raise NotImplementedError("not needed here")


FAULTS = {
    OutOfOrder: {"boundary-runs-along-curves"},
    OneSided: {"boundary-covers-all"},
    FlatInside: {"distance-is-a-distance"},
    ProjectsInSingle: {"finite-far-away"},
    Scaled: {"distance-is-a-distance"},
    Cubed: {"distance-is-a-distance"},
    Flattened: {"distance-is-a-distance"},
    RadialInThree: {"projection-is-nearest-around"},
    WithoutAFace: {"boundary-covers-all"},
    WrongSign: {"distance-has-its-sign", "samples-lie-inside", "constraints-agree-with-distance"},
    Jumps: {"distance-is-continuous"},
    OffBoundary: {"boundary-has-distance-zero"},
    ProjectsRadially: {"projection-is-nearest"},
    ProjectsTooFar: {"projection-is-nearest", "projection-keeps-inside-points"},
    ProjectsOutside: {"projection-lands-inside"},
    SquaredGauge: {"gauge-fits"},
    LatentOverflows: {"finite-far-away"},
}


@pytest.mark.parametrize(
    "name",
    ["distance-is-a-distance", "level-boundary-has-the-level", "level-projection-lands-near"],
)
def test_constraints_may_overlap_and_the_deepest_point_lie_off_0(name):
    assert run("latent", HalfBall, name).status == "passed"


def test_a_set_that_has_shrunk_away_from_0_has_no_gauge():
    with pytest.raises(NotImplementedError, match="does not hold 0"):
        HalfBall(2).level_gauge(torch.ones(1, 2), -0.4)


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("latent", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert support.CHECKS.keys() <= set().union(*FAULTS.values())
