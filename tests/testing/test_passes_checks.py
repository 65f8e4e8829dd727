"""The checks of a backbone's faster methods catch what is planted for them."""

import pytest
from planted import Network, caught

from compactflow.testing.checks import passes


class WrongLogDet(Network):
    def log_abs_det(self, x):
        return 1.1 * super().log_abs_det(x)


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


class OtherLogDetInEval(Network):
    def log_abs_det(self, x):
        return super().log_abs_det(x) + (0 if self.training else 0.1)


class LogDetOffInEight(Network):
    def log_abs_det(self, x):
        return super().log_abs_det(x) + 0.1 * (self.dim == 8)


class PreparedInSingle(Network):
    def prepared(self):
        return lambda x: self(x).float().to(x)


FAULTS = {
    OtherLogDetInEval: {"log-abs-det-is-autograds"},
    LogDetOffInEight: {"log-abs-det-is-autograds"},
    PreparedInSingle: {"prepared-gives-the-latents"},
    WrongLogDet: {"log-abs-det-is-autograds"},
    WrongFarLogDet: {"log-abs-det-is-autograds"},
    LogDetWithoutGradient: {"log-abs-det-has-its-gradient"},
    TwoLogDets: {"one-pass-gives-both"},
    HalfRecodes: {"recode-is-that-of-the-base-class"},
    PreparedOff: {"prepared-gives-the-latents"},
    WeakDivergence: {"divergence-spreads-as-the-log-det-does"},
    DivergenceForgetsRows: {"divergence-spreads-as-the-log-det-does"},
    DetachesLatents: {"divergence-leaves-the-latents"},
    DivergesGlobally: {"divergence-draws-from-the-generator"},
}


@pytest.mark.parametrize(("fault", "names"), FAULTS.items())
def test_planted_faults_are_caught_by_name(fault, names):
    assert caught("backbone", fault, names) == names


def test_each_check_has_a_planted_fault():
    assert passes.CHECKS.keys() <= set().union(*FAULTS.values())
