"""What a component must keep to is asked of it with a message, before or while it trains."""

import pytest
import torch
from brief import SMALL
from small_fits import Undeclared, X, build

from compactflow.backbones.base import Backbone
from compactflow.backbones.chain import Chain
from compactflow.flows.contracts import is_own
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.plugins.registry import load
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.pushes.likelihood import Likelihood


class LacksMethods(Latent):
    def sample(self, n, generator=None):
        return torch.zeros(n, self.dim)


class RowsOfConstraints(Latent):
    sample, project, boundary = Cube.sample, Cube.project, Cube.boundary
    log_prob, gauge = Cube.log_prob, Cube.gauge

    def constraints(self, z):
        return (z.abs() - 1).amax(dim=1)


class ForgetsSuper(Undeclared):
    entropic = True

    def __init__(self):
        self.weight = 1.0


class Mirrored(Backbone):
    def forward(self, x):
        return -x

    def inverse(self, z, *, start=None):
        return -z


class TakesNoStart(Backbone):
    def __init__(self, dim):
        super().__init__(dim)
        self.scale = torch.nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * self.scale

    def inverse(self, z):
        return z / self.scale


class TakesNoGenerator(TakesNoStart):
    def inverse(self, z, *, start=None):
        return z / self.scale

    def forward_and_divergence(self, x, sigma):
        return super().forward_and_divergence(x, sigma)


class Scale(TakesNoStart):
    def inverse(self, z, *, start=None):
        return z / self.scale


class WithLogDet(Scale):
    def forward(self, x):
        return super().forward(x), self.scale.log().sum().expand(len(x))


class InvertsToTwo(Scale):
    def inverse(self, z, *, start=None):
        return super().inverse(z), None


class NothingToTrain(Backbone):
    def forward(self, x):
        return x.flip(1)

    def inverse(self, z, *, start=None):
        return z.flip(1)


class StartsAsAModule(Scale):
    def __init__(self, dim):
        torch.nn.Module.__init__(self)
        self.scale = torch.nn.Parameter(torch.ones(dim))


class OfAnOlderInterface(Push):
    entropic = True

    def __call__(self, flow, x, z, pull):
        return -flow.backbone.log_abs_det(x).mean()

    def loss(self, flow, x, pull):
        return self(flow, x, None, pull)


class InAnotherOrder(Push):
    entropic = True

    def forward(self, flow, x, z, pull):
        return x, x.sum()


class TermOnly(Push):
    entropic = True

    def forward(self, backbone, pull, x, generator=None):
        return Likelihood()(backbone, pull, x, generator)[1]


class TermOfEachRow(Push):
    entropic = True

    def forward(self, backbone, pull, x, generator=None):
        return backbone(x), -backbone.log_abs_det(x)


class WeighsItself(Pull):
    def balance(self):
        self.weight = 2.0

    def forward(self, z):
        return z.norm(dim=1)


class OneValue(Pull):
    def forward(self, z):
        return z.norm()


class ProjectsNothing(Latent):
    sample, constraints, boundary = Cube.sample, Cube.constraints, Cube.boundary
    log_prob, gauge = Cube.log_prob, Cube.gauge

    def project(self, z):
        return None


class DrawsGlobally(ProjectsNothing):
    def sample(self, n):
        return Cube.sample(self, n)


class IgnoresMembers(Preprocessing):
    def fit(self, X):
        pass

    forward = inverse = lambda self, x: x

    def log_abs_det(self, x):
        return x.new_zeros(len(x))


class OneColumn(IgnoresMembers):
    def fit(self, X, *, member=0):
        pass

    def forward(self, x):
        return x[:, :1]


class OneScore(Score):
    def forward(self, flow, pull, x):
        return flow(x).norm()


class AnArray(Score):
    def forward(self, flow, pull, x):
        return flow(x).norm(dim=1).numpy()


class ScoresByTwo(Score):
    def forward(self, flow, x):
        return flow(x).norm(dim=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": TakesNoGenerator}, "divergence must take.*`generator`"),
        ({"latent": LacksMethods}, "must define boundary, constraints, log_prob, project"),
        ({"latent": RowsOfConstraints}, r"constraints must give \(N, M\).*got \(3,\)"),
        ({"latent": "cube", "latent_options": {"size": 2}}, "latent_options do not fit Cube"),
        ({"push": Undeclared}, "the push Undeclared must say.*`entropic`"),
        ({"push": ForgetsSuper}, r"ForgetsSuper.__init__ must call super\(\)"),
        ({"backbone": TakesNoStart}, "inverse must take.*`start`"),
        ({"backbone": WithLogDet}, r"WithLogDet.forward must give .*\(3, 3\).*got a tuple"),
        ({"backbone": InvertsToTwo}, "InvertsToTwo.inverse must give .*got a tuple"),
        ({"backbone": NothingToTrain}, "no parameters that train"),
        ({"backbone": StartsAsAModule}, r"must call super\(\).__init__\(dim\)"),
        ({"push": OfAnOlderInterface}, "older interface: it defines __call__ and loss.*forward"),
        ({"push": InAnotherOrder}, r"must take \(backbone, pull, x, .*got \(self, flow"),
        ({"push": TermOnly}, "TermOnly.forward must return.*got a Tensor"),
        ({"push": TermOfEachRow}, r"TermOfEachRow.forward must return.*shape \(\d+,\)"),
        ({"pull": WeighsItself}, "older interface: it defines balance.*leave it out"),
        ({"pull": OneValue}, r"OneValue.forward must give .*got \(\)"),
        ({"latent": ProjectsNothing}, "ProjectsNothing.project must give .*NoneType"),
        ({"latent": DrawsGlobally}, "sample must take.*`generator`"),
        ({"preprocessing": IgnoresMembers}, "fit must take.*`member`"),
        ({"preprocessing": OneColumn}, r"OneColumn.forward must give .*got \(3, 1\)"),
        ({"score_by": OneScore}, r"OneScore.forward must give .*got \(\)"),
        ({"score_by": AnArray}, "AnArray.forward must give .*got a ndarray"),
        ({"score_by": ScoresByTwo}, "forward must take.*`pull`"),
    ],
)
def test_a_broken_promise_is_named(options, message):
    if "backbone" in options:
        options = {"backbone_options": {}} | options
    with pytest.raises(ValueError, match=message):
        build(**options).fit(X)


def test_an_error_in_a_constructor_is_the_components_own():
    class Broken(Backbone):
        def __init__(self, dim):
            super().__init__(dim)
            len(dim)

        forward = inverse = lambda self, x, start=None: x

    with pytest.raises(TypeError, match="has no len"):
        build(backbone=Broken, backbone_options={}).fit(X)


class Box(Latent):
    """The cube, with a length for each feature, and none of one or two."""

    sample, project, boundary = Cube.sample, Cube.project, Cube.boundary
    log_prob, gauge, constraints = Cube.log_prob, Cube.gauge, Cube.constraints

    def __init__(self, dim, *, lengths=()):
        super().__init__(dim)
        if dim < 3 or len(lengths) not in (0, dim):
            raise ValueError(f"needs three features, and {dim} lengths")


def test_build_finds_a_dimension_that_the_latent_takes():
    build(latent=Box)
    build(latent=Box, latent_options={"lengths": [1.0] * 5})
    with pytest.raises(ValueError, match="alpha must be in"):
        build(latent="gaussian", latent_options={"alpha": 3})


@pytest.mark.parametrize("name", [name for name in SMALL if name != "free-form-learnt"])
def test_only_what_others_wrote_is_checked_at_each_fit(name):
    assert is_own(load("backbone", name)(3, **SMALL[name]))


def test_a_chain_is_checked_if_others_wrote_a_link():
    coupling, iresnet = (load("backbone", name) for name in ("coupling", "iresnet"))
    assert is_own(Chain(3, links=[coupling, iresnet]))
    assert not is_own(Chain(3, links=[coupling, Mirrored]))
