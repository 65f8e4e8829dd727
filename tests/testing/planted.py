"""What tests of the kit share: right components to plant faults in, and what catches them."""

from compactflow import testing
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.testing.kit import _cases


def run(kind, component, name):
    """The result of one check."""
    checks = zip(testing.check_names(kind), _cases(kind, component, None, None), strict=True)
    return dict(checks)[name]()


def caught(kind, fault, names):
    """Those of the checks that fail."""
    return {name for name in names if run(kind, fault, name).status == "failed"}


def not_passed(results):
    return [result for result in results if result.status not in ("passed", "skipped")]


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
