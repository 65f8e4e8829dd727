"""The built-ins pass the kit, and components with a planted fault fail the check it concerns."""

import math
import re
import subprocess
import sys
import traceback
from ast import literal_eval
from math import sqrt

import pytest
import torch

from compactflow import testing
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.latents.ball import Ball
from compactflow.latents.base import Latent, sphere
from compactflow.latents.cube import Cube
from compactflow.plugins.builtin import BUILTINS
from compactflow.pulls.base import Pull
from compactflow.pulls.norms import Euclidean, MaxAbs
from compactflow.pushes.base import Push
from compactflow.pushes.stein import Stein
from compactflow.testing.kit import _as_test, _cases
from compactflow.testing.results import SkipCheck, cases, require
from compactflow.training.stack import Stack

CHECK = {
    "backbone": testing.check_backbone,
    "latent": testing.check_latent,
    "pull": testing.check_pull,
    "push": testing.check_push,
}
NEEDS_TWO = {"dimensions": "it needs two features"}
KNOWN = {"normflows:NSF": NEEDS_TWO, "normflows:MAF": NEEDS_TWO}


def not_passed(results):
    return [result for result in results if result.status not in ("passed", "skipped")]


def cases_of_built_ins():
    """Those of backbones and pushes take long: they train, and differentiate again and again."""
    for spec in BUILTINS:
        if spec.kind in CHECK and spec.kind != "pull" and "composition" not in spec.tags:
            marks = [pytest.mark.slow] if spec.kind in ("backbone", "push") else []
            yield pytest.param(spec, id=f"{spec.kind}-{spec.name}", marks=marks)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("spec", list(cases_of_built_ins()))
def test_built_ins_conform(spec):
    expected = KNOWN.get(spec.name)
    results = CHECK[spec.kind](spec.name, expected_failures=expected)
    assert [r.name for r in results] == testing.check_names(spec.kind)
    assert {r.name for r in not_passed(results)} == set(expected or ())


@pytest.mark.parametrize("latent", [None, "gaussian"])
@pytest.mark.parametrize("name", [s.name for s in BUILTINS if s.kind == "pull"])
def test_built_in_pulls_conform(name, latent):
    assert not not_passed(testing.check_pull(name, latent=latent))


@testing.parametrize("latent", "gaussian", options={"alpha": 0.02})
def test_parametrize_makes_one_test_per_check(check):
    check()


class Square(Latent):
    """A right latent, by hand, to plant faults in: the cube."""

    def __init__(self, dim):
        super().__init__(dim)
        self.cube = Cube(dim)

    def sample(self, n, generator=None):
        return self.cube.sample(n, generator)

    def constraints(self, z):
        return self.cube.constraints(z)

    def gauge(self, z):
        return self.cube.gauge(z)

    def project(self, z):
        return self.cube.project(z)

    def boundary(self, n, generator=None):
        return self.cube.boundary(n, generator)

    def log_prob(self, z):
        return self.cube.log_prob(z)


class BiasedSampler(Square):
    def sample(self, n, generator=None):
        return super().sample(n, generator) * 0.95


class WrongLaw(Square):
    """Right moments, wrong law: as many at the ends as make up for the middle."""

    def sample(self, n, generator=None):
        z = super().sample(n, generator)
        return torch.where(z.abs() < 0.5, 0.5 * z, z.sign() * sqrt(31 / 32 * 0.5 + 1 / 6))


class IgnoresGenerator(Square):
    def sample(self, n, generator=None):
        return super().sample(n)


class SamplesOutside(Square):
    def sample(self, n, generator=None):
        return 1.3 * super().sample(n, generator)


class Unnormalised(Square):
    def log_prob(self, z):
        return super().log_prob(z) + 0.1


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


class LatentOverflows(Square):
    def constraints(self, z):
        return ((z.abs() - 1) / (z - 2e5).clamp(max=0).abs()) * (2e5 - z)


class NoSuchPull(Square):
    confining_pull = "no-such-pull"


class WrongShape(Square):
    def signed_distance(self, z):
        return super().signed_distance(z).unsqueeze(1)


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


class ProjectsInPlace(Square):
    def project(self, z):
        return z.clamp_(-1, 1)


class WithoutAFace(Square):
    def boundary(self, n, generator=None):
        z = super().boundary(n, generator)
        return torch.where(z[:, :1] >= 1, -z, z)


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


class OutOfOrder(Square):
    def boundary(self, n, generator=None):
        return super().boundary(n, generator)[torch.arange(n) * 7 % n]


class OneSided(Square):
    """Boundary points on one side of an axis, where points are too few to lie near all others."""

    def boundary(self, n, generator=None):
        z = super().boundary(n, generator)
        return torch.cat([z[:, :1].abs(), z[:, 1:]], dim=1) if self.dim > 3 else z


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


class FlatInside(Square):
    def signed_distance(self, z):
        return super().signed_distance(z).clamp(min=-0.3)


class ProjectsInSingle(Square):
    """Right in float64; in float32 its squares overflow to a projection at 0."""

    def project(self, z):
        return super().project(z) / z.square().pow(8).sum(dim=1, keepdim=True).clamp(max=1e99) ** 0


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


LATENT_FAULTS = {
    OutOfOrder: {"boundary-runs-along-curves"},
    OneSided: {"boundary-covers-all"},
    BoundaryDrawsGlobally: {"generator-decides"},
    SoftensNothing: {"softened-samples-follow-their-density"},
    OtherSlope: {"gradients-are-slopes"},
    OtherWhenItEvaluates: {"rows-are-independent"},
    FlatInside: {"distance-is-a-distance"},
    ProjectsInSingle: {"finite-far-away"},
    WideEdge: {"pulls-serve"},
    AddsUp: {"adapts-to-data"},
    AdaptsInPlace: {"adapts-to-data"},
    DensityStaysBehind: {"adapts-to-data"},
    OffTheLevel: {"level-boundary-has-the-level"},
    ForgetsTheLevel: {"level-projection-lands-near"},
    OldGauge: {"level-gauge-fits"},
    HeapsUp: {"level-samples-are-uniform"},
    Scaled: {"distance-is-a-distance"},
    Cubed: {"distance-is-a-distance"},
    Flattened: {"distance-is-a-distance"},
    RadialInThree: {"projection-is-nearest-around"},
    ProjectsInPlace: {"leaves-its-input-alone"},
    WithoutAFace: {"boundary-covers-all"},
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
    WrongSign: {"distance-has-its-sign", "samples-lie-inside", "constraints-agree-with-distance"},
    Jumps: {"distance-is-continuous"},
    OffBoundary: {"boundary-has-distance-zero"},
    ProjectsRadially: {"projection-is-nearest"},
    ProjectsTooFar: {"projection-is-nearest", "projection-keeps-inside-points"},
    ProjectsOutside: {"projection-lands-inside"},
    SquaredGauge: {"gauge-fits"},
    LatentLosesState: {"state-survives-saving"},
    DrawsOnCpu: {"follows-device-and-dtype"},
    ComputesOnCpu: {"follows-device-and-dtype"},
    LatentOverflows: {"finite-far-away"},
    NoSuchPull: {"pulls-serve"},
    WrongShape: {"dimensions"},
}


class Network(Backbone):
    """A right backbone, by hand, to plant faults in: a small coupling flow."""

    def __init__(self, dim):
        super().__init__(dim)
        self.flow = Coupling(dim, blocks=2, width=8, permutation="hard")

    def forward(self, x):
        return self.flow(x)

    def inverse(self, z, *, start=None):
        return self.flow.inverse(z)

    def log_abs_det(self, x):
        return self.flow.log_abs_det(x)


class NotParallel(Network):
    parallel = True

    def forward(self, x):
        z = self.flow(x)
        return z.flip(0) if z.ndim == 3 else z


class InverseOff(Network):
    def inverse(self, z, *, start=None):
        return super().inverse(z) * 1.01


class DriftsInTraining(Network):
    """Its inverse forgets a parameter that starts at 0."""

    def __init__(self, dim):
        super().__init__(dim)
        self.drift = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return super().forward(x) + self.drift


class FollowsStart(Network):
    def inverse(self, z, *, start=None):
        x = super().inverse(z)
        return x if start is None else x + 1e-3 * (start - x)


class TakesNoStart(Network):
    def inverse(self, z):
        return super().inverse(z)


class IdleParameter(Network):
    def __init__(self, dim):
        super().__init__(dim)
        self.idle = torch.nn.Parameter(torch.zeros(dim))


class MixesRows(Network):
    def forward(self, x):
        return super().forward(x) + x.mean(dim=0)


class WrongLogDet(Network):
    def log_abs_det(self, x):
        return 1.1 * super().log_abs_det(x)


class NanFarAway(Network):
    def forward(self, x):
        z = super().forward(x)
        return z + 0 * torch.where(x.abs() > 1e5, torch.nan, 0.0)


class BackboneLosesState(Network):
    def __init__(self, dim):
        super().__init__(dim)
        self.order = torch.randn(dim).tolist()

    def forward(self, x):
        return super().forward(x) + x.new_tensor(self.order)

    def inverse(self, z, *, start=None):
        return super().inverse(z - z.new_tensor(self.order))


class SharesItsCopy(Network):
    def __deepcopy__(self, memo):
        return self


class BackboneOnCpu(Network):
    def __init__(self, dim):
        super().__init__(dim)
        self.offset = torch.linspace(0, 1, dim)

    def forward(self, x):
        return super().forward(x) + self.offset.to(x.dtype)

    def inverse(self, z, *, start=None):
        return super().inverse(z - self.offset.to(z.dtype))


class OnlyInThree(Network):
    def __init__(self, dim):
        if dim != 3:
            raise ValueError("dim must be 3")
        super().__init__(dim)


class FrozenRotation(Network):
    """Right: a fixed permutation kept as a parameter that does not train, as FrEIA does."""

    def __init__(self, dim):
        super().__init__(dim)
        order = torch.eye(dim)[torch.randperm(dim)]
        self.order = torch.nn.Parameter(order, requires_grad=False)

    def forward(self, x):
        return super().forward(x) @ self.order

    def inverse(self, z, *, start=None):
        return super().inverse(z @ self.order.T)


class StartsWithData(Network):
    """Right: centred at the first batch that it sees, as ActNorm is."""

    def __init__(self, dim, *, keeps=True):
        super().__init__(dim)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("begun", torch.zeros(()), persistent=keeps)

    def forward(self, x):
        if not x.is_meta and not self.begun:
            self.mean.copy_(x.detach().mean(dim=0))
            self.begun.fill_(1)
        return super().forward(x - self.mean)

    def inverse(self, z, *, start=None):
        return super().inverse(z) + self.mean

    def log_abs_det(self, x):
        return super().log_abs_det(x - self.mean)


class ForgetsItsStart(StartsWithData):
    def __init__(self, dim):
        super().__init__(dim, keeps=False)


class UntrainedScale(Network):
    def __init__(self, dim):
        super().__init__(dim)
        self.scales = [torch.full((dim,), 1.3)]

    def forward(self, x):
        return super().forward(x) * self.scales[0].to(x)

    def inverse(self, z, *, start=None):
        return super().inverse(z / self.scales[0].to(z))


class WrongFarLogDet(Network):
    def log_abs_det(self, x):
        return super().log_abs_det(x) + (x.norm(dim=1) > 10).to(x)


class LogDetWithoutGradient(Network):
    def log_abs_det(self, x):
        return super().log_abs_det(x).detach()


class TwoLogDets(Network):
    def forward_and_log_abs_det(self, x):
        log_abs_det = self.log_abs_det(x)
        return self(x), 0.5 * (log_abs_det + log_abs_det.detach())


class HalfRecodes(Network):
    def recode(self, z, *, start=None):
        return 0.5 * (super().recode(z, start=start) + z)


class PreparedOff(Network):
    def prepared(self):
        return lambda x: 1.01 * self(x)


class WeakDivergence(Network):
    def forward_and_divergence(self, x, sigma, generator=None):
        z, divergence = super().forward_and_divergence(x, sigma, generator)
        return z, 0.9 * divergence


class DivergenceForgetsRows(Network):
    """What comes before it in a chain would not feel how it spreads."""

    def forward_and_divergence(self, x, sigma, generator=None):
        _, divergence = super().forward_and_divergence(x.detach(), sigma, generator)
        return self(x), divergence


class DetachesLatents(Network):
    def forward_and_divergence(self, x, sigma, generator=None):
        z, divergence = super().forward_and_divergence(x, sigma, generator)
        return z.detach() + 0 * z, divergence


class DivergesGlobally(Network):
    def forward_and_divergence(self, x, sigma, generator=None):
        return super().forward_and_divergence(x, sigma)


class BackboneWrongGradient(Network):
    def forward(self, x):
        return super().forward(WrongSlope.apply(x))


class OtherInEval(Network):
    def forward(self, x):
        return super().forward(x) + (not self.training)


class OnlyInTwoPrecisions(Network):
    def _offset(self, x):
        return 0.01 * (x.dtype == torch.float32)

    def forward(self, x):
        return super().forward(x) + self._offset(x)

    def inverse(self, z, *, start=None):
        return super().inverse(z - self._offset(z))


class InverseOffInEight(Network):
    def inverse(self, z, *, start=None):
        return super().inverse(z) + 0.1 * (z.shape[1] == 8)


class InverseOffFarAway(Network):
    def inverse(self, z, *, start=None):
        x = super().inverse(z)
        return torch.where(x.abs() > 100, 1.001 * x, x)


class OtherInLargeBatches(Network):
    def forward(self, x):
        return super().forward(x) + 0.1 * (len(x) > 500)


class BackboneInPlace(Network):
    def forward(self, x):
        z = super().forward(x)
        if not x.requires_grad:
            x.add_(1e-3)
        return z


class LoadsOtherWeights(Network):
    def load_state_dict(self, state, *args, **options):
        state = {name: 1.1 * value for name, value in state.items()}
        return super().load_state_dict(state, *args, **options)


ROUND_TRIP = {"inverse-undoes-forward", "inverse-undoes-forward-after-training", "dimensions"}


class OtherLogDetInEval(Network):
    def log_abs_det(self, x):
        return super().log_abs_det(x) + (0 if self.training else 0.1)


class LogDetOffInEight(Network):
    def log_abs_det(self, x):
        return super().log_abs_det(x) + 0.1 * (self.dim == 8)


class InverseHasAnotherSlope(Network):
    def inverse(self, z, *, start=None):
        x = super().inverse(z, start=start)
        return 2 * x - x.detach()


class PreparedInSingle(Network):
    def prepared(self):
        return lambda x: self(x).float().to(x)


class InContext(Backbone):
    """A right backbone that takes a context, to plant faults in."""

    def __init__(self, dim, *, context=0):
        super().__init__(dim, context)
        self.flow = Coupling(dim, blocks=2, width=8, permutation="hard", context=context)

    def forward(self, x, *, context=None):
        return self.flow(x, context=context)

    def inverse(self, z, *, start=None, context=None):
        return self.flow.inverse(z, context=context)


class Deaf(InContext):
    def forward(self, x, *, context=None):
        return super().forward(x, context=0 * context)

    def inverse(self, z, *, start=None, context=None):
        return super().inverse(z, context=0 * context)


class DecodesInAnother(InContext):
    def inverse(self, z, *, start=None, context=None):
        return super().inverse(z, context=-context)


class LogDetInAnother(InContext):
    def log_abs_det(self, x, *, context=None):
        return self.flow.log_abs_det(x, context=-context)


class RecodesInAnother(InContext):
    def recode(self, z, *, start=None, context=None):
        with torch.no_grad():
            x = self.inverse(z, context=context)
        return self(x, context=-context)


class MixesContexts(InContext):
    def forward(self, x, *, context=None):
        return super().forward(x, context=context.mean(dim=0).expand_as(context))

    def inverse(self, z, *, start=None, context=None):
        return super().inverse(z, context=context.mean(dim=0).expand_as(context))


class SwapsContexts(InContext):
    parallel = True

    def forward(self, x, *, context=None):
        return super().forward(x, context=context.flip(0) if x.ndim == 3 else context)


BACKBONE_FAULTS = {
    Deaf: {"context-counts"},
    DecodesInAnother: {"context-round-trip"},
    LogDetInAnother: {"context-log-abs-det"},
    RecodesInAnother: {"context-gradients"},
    MixesContexts: {"context-of-other-rows"},
    SwapsContexts: {"context-side-by-side"},
    OtherLogDetInEval: {"log-abs-det-is-autograds"},
    LogDetOffInEight: {"log-abs-det-is-autograds"},
    InverseHasAnotherSlope: {"gradients-are-slopes"},
    PreparedInSingle: {"prepared-gives-the-latents"},
    NotParallel: {"runs-side-by-side"},
    InverseOff: ROUND_TRIP,
    DriftsInTraining: ROUND_TRIP,
    FollowsStart: {"start-leaves-the-answer"},
    TakesNoStart: {"start-leaves-the-answer"},
    IdleParameter: {"gradients-reach-parameters"},
    MixesRows: {"rows-are-independent"},
    WrongLogDet: {"log-abs-det-is-autograds"},
    NanFarAway: {"finite-far-away"},
    BackboneLosesState: {"state-survives-saving"},
    SharesItsCopy: {"copies-are-independent"},
    BackboneOnCpu: {"follows-device-and-dtype"},
    OnlyInThree: {"dimensions"},
    ForgetsItsStart: {"state-survives-saving", "fits-saves-and-loads"},
    UntrainedScale: {"state-survives-saving"},
    WrongFarLogDet: {"log-abs-det-is-autograds"},
    LogDetWithoutGradient: {"log-abs-det-has-its-gradient"},
    TwoLogDets: {"one-pass-gives-both"},
    HalfRecodes: {"recode-is-that-of-the-base-class"},
    PreparedOff: {"prepared-gives-the-latents"},
    WeakDivergence: {"divergence-spreads-as-the-log-det-does"},
    DivergenceForgetsRows: {"divergence-spreads-as-the-log-det-does"},
    DetachesLatents: {"divergence-leaves-the-latents"},
    DivergesGlobally: {"divergence-draws-from-the-generator"},
    BackboneWrongGradient: {"gradients-are-slopes"},
    OtherInEval: {"evaluates-as-it-trains"},
    OnlyInTwoPrecisions: {"precisions-agree"},
    InverseOffInEight: {"inverse-undoes-forward"},
    InverseOffFarAway: {"inverse-undoes-forward-far-away"},
    OtherInLargeBatches: {"rows-are-independent"},
    BackboneInPlace: {"leaves-its-input-alone"},
    LoadsOtherWeights: {"trains-side-by-side", "state-survives-saving"},
}


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


PULL_FAULTS = {
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


PUSH_FAULTS = {
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


@pytest.mark.parametrize(
    ("kind", "right"),
    [
        ("latent", Square),
        ("backbone", Network),
        pytest.param("backbone", FrozenRotation, marks=pytest.mark.slow),
        pytest.param("backbone", StartsWithData, marks=pytest.mark.slow),
        pytest.param("backbone", InContext, marks=pytest.mark.slow),
        ("push", Base),
        pytest.param("push", Spread, marks=pytest.mark.slow),
    ],
)
def test_right_components_pass(kind, right):
    assert not not_passed(CHECK[kind](right))


def test_a_latent_that_follows_the_data_passes():
    runs = dict(
        zip(testing.check_names("latent"), _cases("latent", Follows, None, None), strict=True)
    )
    assert runs["adapts-to-data"]().status == "passed"


@pytest.mark.parametrize(
    "name",
    ["distance-is-a-distance", "level-boundary-has-the-level", "level-projection-lands-near"],
)
def test_constraints_may_overlap_and_the_deepest_point_lie_off_0(name):
    runs = dict(
        zip(testing.check_names("latent"), _cases("latent", HalfBall, None, None), strict=True)
    )
    assert runs[name]().status == "passed"


def test_a_set_that_has_shrunk_away_from_0_has_no_gauge():
    with pytest.raises(NotImplementedError, match="does not hold 0"):
        HalfBall(2).level_gauge(torch.ones(1, 2), -0.4)


@pytest.mark.parametrize(
    ("kind", "fault", "names"),
    [
        (kind, fault, names)
        for kind, faults in (
            ("latent", LATENT_FAULTS),
            ("backbone", BACKBONE_FAULTS),
            ("pull", PULL_FAULTS),
            ("push", PUSH_FAULTS),
        )
        for fault, names in faults.items()
    ],
)
def test_planted_faults_are_caught_by_name(kind, fault, names):
    runs = dict(zip(testing.check_names(kind), _cases(kind, fault, None, None), strict=True))
    failed = {name for name in names if runs[name]().status == "failed"}
    assert failed == names


def test_each_check_has_a_planted_fault():
    kinds = {"latent": LATENT_FAULTS, "backbone": BACKBONE_FAULTS, "push": PUSH_FAULTS}
    for kind, faults in (kinds | {"pull": PULL_FAULTS}).items():
        caught = set().union(*faults.values())
        assert set(testing.check_names(kind)) - caught <= {"fits-saves-and-loads"}, kind


def run(check, expected=None):
    (case,) = cases({"check": check}, lambda: None, expected).values()
    return case()


def test_a_skip_needs_a_reason():
    def skips(why):
        def check(make):
            raise SkipCheck(why)

        return check

    assert run(skips("no gauge")).status == "skipped"
    assert run(skips("no gauge")).message == "no gauge"
    assert run(skips(" ")).status == "failed"


def test_expected_failures():
    def fails(make):
        require(False, "off by 1")

    def passes(make):
        require(True, "never")

    assert run(fails).message == "off by 1"
    known = run(fails, {"check": "known"})
    assert (known.status, known.message) == ("expected failure", "known: off by 1")
    stale = run(passes, {"check": "known"})
    assert stale.status == "failed"
    assert "remove it" in stale.message
    with pytest.raises(ValueError, match="no-such-check"):
        run(passes, {"no-such-check": "known"})
    with pytest.raises(ValueError, match="why"):
        run(passes, {"check": ""})


def test_an_error_in_a_component_fails_the_check_and_keeps_its_traceback():
    def breaks(make):
        raise ZeroDivisionError("by zero")

    result = run(breaks)
    assert result.message == "ZeroDivisionError: by zero"
    with pytest.raises(AssertionError, match="check: ZeroDivisionError: by zero") as caught:
        _as_test(lambda: result)()
    cause = caught.value.__cause__
    assert isinstance(cause, ZeroDivisionError)
    assert traceback.extract_tb(cause.__traceback__)[-1].name == "breaks"


def test_a_component_that_exits_fails_the_check():
    def leaves(make):
        raise SystemExit("no licence")

    result = run(leaves)
    assert (result.status, result.message) == ("failed", "SystemExit: no licence")
    with pytest.raises(AssertionError, match="no licence"):
        _as_test(lambda: result)()


def test_unknown_kinds_and_names_are_refused():
    with pytest.raises(ValueError, match="kind must be"):
        testing.parametrize("prior", "cube")
    with pytest.raises(ValueError, match="no latent 'qube'"):
        testing.check_latent("qube")


def test_a_component_that_changes_torch_for_all_ends_with_its_check():
    runs = dict(
        zip(
            testing.check_names("push"), _cases("push", TurnsGradientsOff, None, None), strict=True
        )
    )
    assert runs["generator-decides"]().status == "failed"
    assert torch.is_grad_enabled()


def test_checks_leave_the_random_state():
    before = torch.get_rng_state()
    testing.check_pull("barrier")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_the_kit_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import compactflow.testing"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_theory_of_pulls(dim):
    before = torch.get_rng_state()
    cube = Cube(dim)
    for pull in (MaxAbs(cube), Euclidean(cube)):
        assert testing.convexity_violation(pull) is None
        assert testing.outward_violation(pull) is None
    assert "not convex" in testing.convexity_violation(NotConvex(cube))
    assert "not increasing outward" in testing.outward_violation(GrowsInward(cube))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_violation_says_where():
    reason = testing.convexity_violation(GrowsInward(Cube(2)))
    found = re.findall(r"= (\(.*?\)|[-\d.]+)", reason)
    value, chord, a, b = map(literal_eval, found)
    a, b = torch.tensor(a), torch.tensor(b)
    pull = GrowsInward(Cube(2))
    assert float(pull((a + b)[None] / 2)) == pytest.approx(value, abs=0.01)
    assert float((pull(a[None]) + pull(b[None])) / 2) == pytest.approx(chord, abs=0.01)
    assert value > chord
