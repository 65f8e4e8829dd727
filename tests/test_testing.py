"""The built-ins pass the kit, and components with a planted fault fail the check it concerns."""

import re
import subprocess
import sys
from ast import literal_eval
from math import sqrt

import pytest
import torch

from compactflow import testing
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.builtins import BUILTINS
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.pulls.base import Pull
from compactflow.pulls.norms import Euclidean, MaxAbs
from compactflow.pushes.base import Push
from compactflow.pushes.stein import Stein
from compactflow.testing.results import SkipCheck, cases, require

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


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    "spec", [s for s in BUILTINS if s.kind != "pull"], ids=lambda s: f"{s.kind}-{s.name}"
)
def test_built_ins_conform(spec):
    expected = KNOWN.get(spec.name)
    results = CHECK[spec.kind](spec.name, expected_failures=expected)
    assert [r.name for r in results] == testing.check_names(spec.kind)
    assert {r.name for r in not_passed(results)} == set(expected or ())


@pytest.mark.parametrize("latent", ["cube", "ball", "gaussian"])
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


LATENT_FAULTS = {
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


ROUND_TRIP = {"inverse-undoes-forward", "inverse-undoes-forward-after-training", "dimensions"}
BACKBONE_FAULTS = {
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


PULL_FAULTS = {
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


PUSH_FAULTS = {
    WrongWay: {"entropic-gradient-is-that-of-the-log-det", "training-brings-latents-closer"},
    TooStrong: {"entropic-gradient-is-that-of-the-log-det"},
    Collapses: {"force-balances-the-pull"},
    NoGradient: {"gradient-reaches-backbone"},
    NotAScalar: {"loss-is-a-finite-scalar"},
    Meddles: {"leaves-its-inputs-alone"},
    WritesGradients: {"leaves-its-inputs-alone"},
    Undeclared: {"declares-entropic"},
    WeighsLatents: {"gives-the-latents"},
    DrawsGlobally: {"generator-decides"},
}


@pytest.mark.parametrize(
    ("kind", "right"), [("latent", Square), ("backbone", Network), ("push", Base)]
)
def test_right_components_pass(kind, right):
    assert not not_passed(CHECK[kind](right))


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
    failed = {result.name for result in not_passed(CHECK[kind](fault))}
    assert names <= failed


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


def test_an_error_in_a_component_fails_the_check():
    def breaks(make):
        raise ZeroDivisionError("by zero")

    assert run(breaks).message == "ZeroDivisionError: by zero"


def test_unknown_kinds_and_names_are_refused():
    with pytest.raises(ValueError, match="kind must be"):
        testing.parametrize("prior", "cube")
    with pytest.raises(ValueError, match="no latent 'qube'"):
        testing.check_latent("qube")


def test_checks_leave_the_random_state():
    before = torch.get_rng_state()
    testing.check_pull("barrier")
    assert torch.equal(torch.get_rng_state(), before)


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
