"""The checks of a backbone's map and inverse catch what is planted for them."""

import pytest
import torch
from planted import Network, caught, not_passed

from compactflow import testing
from compactflow.testing.checks import backbone, context, passes


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


class NanAtZero(Network):
    def forward(self, x):
        return super().forward(x) * torch.where(x == 0, torch.nan, 1.0)


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


class InverseHasAnotherSlope(Network):
    def inverse(self, z, *, start=None):
        x = super().inverse(z, start=start)
        return 2 * x - x.detach()


class WrongSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return 1.1 * gradient


FAULTS = {
    InverseHasAnotherSlope: {"gradients-are-slopes"},
    NotParallel: {"runs-side-by-side"},
    InverseOff: ROUND_TRIP,
    DriftsInTraining: ROUND_TRIP,
    FollowsStart: {"start-leaves-the-answer"},
    TakesNoStart: {"start-leaves-the-answer"},
    IdleParameter: {"gradients-reach-parameters"},
    MixesRows: {"rows-are-independent"},
    NanFarAway: {"finite-far-away"},
    NanAtZero: {"finite-far-away"},
    BackboneLosesState: {"state-survives-saving"},
    SharesItsCopy: {"copies-are-independent"},
    BackboneOnCpu: {"follows-device-and-dtype"},
    OnlyInThree: {"dimensions"},
    ForgetsItsStart: {"state-survives-saving", "fits-saves-and-loads"},
    UntrainedScale: {"state-survives-saving"},
    BackboneWrongGradient: {"gradients-are-slopes"},
    OtherInEval: {"evaluates-as-it-trains"},
    OnlyInTwoPrecisions: {"precisions-agree"},
    InverseOffInEight: {"inverse-undoes-forward"},
    InverseOffFarAway: {"inverse-undoes-forward-far-away"},
    OtherInLargeBatches: {"rows-are-independent"},
    BackboneInPlace: {"leaves-its-input-alone"},
    LoadsOtherWeights: {"trains-side-by-side", "state-survives-saving"},
}


@pytest.mark.parametrize(
    "right",
    [
        Network,
        pytest.param(FrozenRotation, marks=pytest.mark.slow),
        pytest.param(StartsWithData, marks=pytest.mark.slow),
    ],
)
def test_right_components_pass(right):
    assert not not_passed(testing.check_backbone(right))


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("backbone", fault, names) == names


def test_each_check_has_a_planted_fault():
    own = backbone.CHECKS.keys() - passes.CHECKS.keys() - context.CHECKS.keys()
    assert own <= set().union(*FAULTS.values())
