"""FrEIA's network in ten lines is a backbone like any other."""

import pytest
from torch import nn

from compactflow import testing
from compactflow.backbones.base import Backbone

Ff = pytest.importorskip("FrEIA.framework")
Fm = pytest.importorskip("FrEIA.modules")


def subnet(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, outputs))


class Freia(Backbone):
    def __init__(self, dim):
        super().__init__(dim)
        self.inn = Ff.SequenceINN(dim)
        for _ in range(2):
            self.inn.append(Fm.AllInOneBlock, subnet_constructor=subnet)

    def forward(self, x):
        return self.inn(x, jac=False)[0] if len(x) else x

    def inverse(self, z, *, start=None):
        return self.inn(z, rev=True, jac=False)[0] if len(z) else z

    def log_abs_det(self, x):
        return self.inn(x)[1] if len(x) else x.new_zeros(0)


@pytest.mark.slow
def test_it_conforms():
    results = testing.check_backbone(Freia)
    assert {result.status for result in results} <= {"passed", "skipped"}, results
