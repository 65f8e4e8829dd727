"""The checks of a backbone that takes a context catch what is planted for them."""

import pytest
import torch
from planted import caught, not_passed

from compactflow import testing
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.testing.checks import context


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


FAULTS = {
    Deaf: {"context-counts"},
    DecodesInAnother: {"context-round-trip"},
    LogDetInAnother: {"context-log-abs-det"},
    RecodesInAnother: {"context-gradients"},
    MixesContexts: {"context-of-other-rows"},
    SwapsContexts: {"context-side-by-side"},
}


@pytest.mark.parametrize("right", [pytest.param(InContext, marks=pytest.mark.slow)])
def test_right_components_pass(right):
    assert not not_passed(testing.check_backbone(right))


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("backbone", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert context.CHECKS.keys() <= set().union(*FAULTS.values())
