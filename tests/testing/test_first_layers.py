"""The kit of first layers: the built-ins pass, and a planted fault fails the check it concerns."""

import pytest
import torch
from planted import caught

from compactflow import testing
from compactflow.plugins.builtin import BUILTINS
from compactflow.preprocessing.base import Preprocessing, fence, spread
from compactflow.testing.kit import _cases

NAMES = sorted({s.name for s in BUILTINS if s.kind == "preprocessing"} - {"chain"})
WHOLE = "fits-saves-and-loads"

pytestmark = pytest.mark.filterwarnings("ignore:.*searchsorted:UserWarning")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_built_ins_conform(name):
    results = testing.check_preprocessing(name)
    assert [result.name for result in results] == testing.check_names("preprocessing")
    assert {result.status for result in results} == {"passed"}


class Units(Preprocessing):
    """A right layer, to plant faults in: each column in its own unit."""

    def __init__(self, dim):
        super().__init__(dim)
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("unit", torch.ones(dim, dtype=torch.float64))

    def fit(self, X, *, member=0):
        X = fence(X)
        self.mean = torch.from_numpy(X.mean(axis=0))
        self.unit = torch.from_numpy(spread(X.std(axis=0), X.mean(axis=0)))

    def forward(self, x):
        return (x.to(self.mean) - self.mean) / self.unit

    def inverse(self, y):
        return y.to(self.mean) * self.unit + self.mean

    def log_abs_det(self, x):
        return -self.unit.log().sum().expand(len(x))


class AnyDimension(Units):
    def __init__(self, dim):
        super().__init__(max(dim, 1))


class InverseOff(Units):
    def inverse(self, y):
        return super().inverse(y * (1 + 1e-8))


class InverseOfTheSecondFlow(Units):
    """Every second flow sees the columns turned round, and the inverse forgets it."""

    def __init__(self, dim):
        super().__init__(dim)
        self.register_buffer("sign", torch.ones((), dtype=torch.float64))

    def fit(self, X, *, member=0):
        super().fit(X, member=member)
        self.sign.fill_(1 - 2 * (member % 2))

    def forward(self, x):
        return self.sign * super().forward(x)


class JoinsAsTheFirst(Units):
    @classmethod
    def joined(cls, layers):
        return lambda x: torch.stack([layers[0](x)] * len(layers))


class Overflows(Units):
    def forward(self, x):
        return super().forward(x).asinh()

    def inverse(self, y):
        return super().inverse(y.sinh())

    def log_abs_det(self, x):
        slope = -0.5 * torch.log1p(super().forward(x).square()).sum(dim=1)
        return slope + super().log_abs_det(x)


class ForgetsItsUnits(Units):
    def log_abs_det(self, x):
        return x.new_zeros(len(x))


class NoGradient(Units):
    def forward(self, x):
        return 0.5 * (x.detach() + x - 2 * self.mean) / self.unit


class NoFence(Units):
    def fit(self, X, *, member=0):
        self.mean = torch.from_numpy(X.mean(axis=0))
        self.unit = torch.from_numpy(spread(X.std(axis=0), X.mean(axis=0)))


class TinyUnit(Units):
    def fit(self, X, *, member=0):
        super().fit(X)
        self.unit = torch.from_numpy(fence(X).std(axis=0) + 1e-12)


class ByChance(Units):
    def fit(self, X, *, member=0):
        super().fit(X)
        self.mean = self.mean + self.unit * torch.randn(self.dim)


class Averages(Units):
    def fit(self, X, *, member=0):
        before = self.mean
        super().fit(X)
        self.mean = (self.mean + before) / 2


class FitsOnce(Units):
    def fit(self, X, *, member=0):
        if (self.unit == 1).all():
            super().fit(X)


class FitInPlace(Units):
    def fit(self, X, *, member=0):
        super().fit(X)
        X -= X.mean(axis=0)


class MapsInPlace(Units):
    def forward(self, x):
        return x.to(self.mean).sub_(self.mean) / self.unit


class ByBatch(Units):
    def forward(self, x):
        return super().forward(x) + (0 if len(x) < 2 else 1e-3)


class OtherInEval(Units):
    def forward(self, x):
        return super().forward(x) * (1 if self.training else 2)


class Trains(Units):
    def __init__(self, dim):
        super().__init__(dim)
        self.gain = torch.nn.Parameter(torch.ones(dim, dtype=torch.float64))

    def forward(self, x):
        return super().forward(x) * self.gain


class LosesItsMean(Units):
    def fit(self, X, *, member=0):
        super().fit(X)
        self.centre = self.mean.tolist()

    def forward(self, x):
        centre = torch.tensor(getattr(self, "centre", [0.0] * self.dim)).to(self.mean)
        return (x.to(self.mean) - centre) / self.unit


class Unregistered(Units):
    def __init__(self, dim):
        super().__init__(dim)
        self.shift = torch.zeros(dim, dtype=torch.float64)

    def forward(self, x):
        return super().forward(x) + self.shift


class OnlyInDouble(Units):
    def forward(self, x):
        return super().forward(x).double()


FAULTS = {
    AnyDimension: {"dimensions"},
    InverseOff: {"inverse-undoes-forward"},
    InverseOfTheSecondFlow: {"inverse-undoes-forward"},
    JoinsAsTheFirst: {"joined-maps-as-each-does"},
    Overflows: {"finite-far-away"},
    ForgetsItsUnits: {"log-abs-det-is-the-slope"},
    NoGradient: {"log-abs-det-is-the-slope"},
    NoFence: {"a-wild-value-does-not-blind-a-column"},
    TinyUnit: {"equal-values-keep-their-unit"},
    ByChance: {"a-fit-starts-anew"},
    Averages: {"a-fit-starts-anew"},
    FitsOnce: {"a-fit-starts-anew"},
    FitInPlace: {"leaves-its-input-alone"},
    MapsInPlace: {"leaves-its-input-alone"},
    ByBatch: {"rows-are-independent"},
    OtherInEval: {"rows-are-independent"},
    Trains: {"nothing-in-it-trains"},
    LosesItsMean: {"state-survives-saving"},
    Unregistered: {"state-survives-saving"},
    OnlyInDouble: {"follows-device-and-dtype"},
}


def test_a_right_layer_passes():
    runs = _cases("preprocessing", Units, None, None)
    named = zip(testing.check_names("preprocessing"), runs, strict=True)
    assert {run().status for name, run in named if name != WHOLE} == {"passed"}


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("preprocessing", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert set().union(*FAULTS.values()) | {WHOLE} == set(testing.check_names("preprocessing"))
