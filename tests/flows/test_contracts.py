"""What a component must keep to is asked of it with a message, before or while it trains."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.base import Backbone
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.plugins import LatentSpec
from compactflow.plugins.registry import isolated
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.pushes.likelihood import Likelihood
from compactflow.training import trainer

X = np.random.default_rng(0).normal(size=(60, 3)) * [1, 2, 3]


def build(**options):
    defaults = {"backbone_options": {"blocks": 1, "width": 4}, "max_steps": 4, "members": 1}
    return compactflow.build(**defaults | {"random_state": 0} | options)


class LacksMethods(Latent):
    def sample(self, n, generator=None):
        return torch.zeros(n, self.dim)


class RowsOfConstraints(Latent):
    sample, project, boundary = Cube.sample, Cube.project, Cube.boundary
    log_prob, gauge = Cube.log_prob, Cube.gauge

    def constraints(self, z):
        return (z.abs() - 1).amax(dim=1)


class Undeclared(Push):
    def forward(self, backbone, pull, x, generator=None):
        return backbone(x), x.sum()


class ForgetsSuper(Undeclared):
    entropic = True

    def __init__(self):
        self.weight = 1.0


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


class LearnsItsWidth(Latent):
    sample, project, boundary = Cube.sample, Cube.project, Cube.boundary
    log_prob, gauge = Cube.log_prob, Cube.gauge

    def __init__(self, dim):
        super().__init__(dim)
        self.log_width = torch.nn.Parameter(torch.zeros(dim))

    def constraints(self, z):
        return z.abs() - self.log_width.exp()


class LearnsItsSlope(Pull):
    def __init__(self, latent):
        super().__init__(latent)
        self.slope = torch.nn.Parameter(torch.ones(()))

    def forward(self, z):
        return self.slope * z.abs().amax(dim=1)


class LearnsItsShare(Push):
    entropic = True

    def __init__(self):
        super().__init__()
        self.share = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, backbone, pull, x, generator=None):
        self.calls += 1
        z, log_abs_det = backbone.forward_and_log_abs_det(x)
        return z, -self.share * log_abs_det.mean() + self.share.square() / (1 + self.calls)


@pytest.mark.parametrize("members", [1, 2])
def test_parameters_of_latents_and_pulls_train(members):
    detector = build(latent=LearnsItsWidth, members=members).fit(X)
    assert (detector.ensemble_.latent.log_width != 0).all()
    detector = build(pull=LearnsItsSlope, push="mirror", members=members).fit(X)
    assert detector.ensemble_.pull.slope != 1


def test_a_parameter_that_would_never_train_is_refused():
    with pytest.raises(ValueError, match="'log_width' of LearnsItsWidth, which would never train"):
        build(latent=LearnsItsWidth, pull="max-abs", push="mirror").fit(X)


@pytest.mark.parametrize("members", [1, 2])
def test_a_push_resumes_with_its_parameters_and_state(members, tmp_path, monkeypatch):
    options = {"push": LearnsItsShare, "members": members, "max_steps": 4, "learning_rate": 0.1}
    whole = build(**options).fit(X)

    step = trainer._Run.step

    def dies(run, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(run, number)

    monkeypatch.setattr(trainer._Run, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        build(**options).fit(X, checkpoint=tmp_path)
    monkeypatch.undo()
    gone_on = build(**options).fit(X, checkpoint=tmp_path)
    assert gone_on.history_ == whole.history_
    assert np.array_equal(gone_on.signed_distance(X), whole.signed_distance(X))


def test_a_state_that_a_checkpoint_would_lose_is_refused(tmp_path):
    class Fades(Undeclared):
        entropic = True

        def __init__(self):
            super().__init__()
            self.share = 1.0

        def forward(self, backbone, pull, x, generator=None):
            self.share *= 0.9
            z, term = Likelihood()(backbone, pull, x)
            return z, self.share * term

    build(push=Fades).fit(X)
    with pytest.raises(ValueError, match="'share' of Fades, which a checkpoint does not keep"):
        build(push=Fades).fit(X, checkpoint=tmp_path)


class Fitted(Latent):
    """A cube around the data's middle, in as many parts as the data has columns."""

    def __init__(self, dim, *, registered=True):
        super().__init__(dim)
        if registered:
            self.register_buffer("centres", torch.zeros(1, dim))
        else:
            self.centres = torch.zeros(1, dim)

    def adapt(self, x):
        self.centres = 0.5 + 0 * x[: self.dim]

    def sample(self, n, generator=None):
        return Cube.sample(self, n, generator) + self.centres[0]

    def constraints(self, z):
        return (z - self.centres.to(z)[0]).abs() - 1

    def project(self, z):
        return (z - self.centres[0]).clamp(-1, 1) + self.centres[0]

    def boundary(self, n, generator=None):
        return Cube(self.dim).to(self.like).boundary(n, generator) + self.centres[0]

    def log_prob(self, z):
        return -self.dim * torch.ones(len(z)).log()


def test_what_a_latent_learns_is_saved_in_the_shape_that_it_has(tmp_path):
    with isolated():
        compactflow.register(LatentSpec(name="fitted", target=f"{__name__}:Fitted"))
        detector = build(latent="fitted", pull="barrier").fit(X)
        detector.save(tmp_path / "model")
        loaded = compactflow.load(tmp_path / "model", device="cpu")
    assert loaded.ensemble_.latent.centres.shape == (3, 3)
    assert np.array_equal(loaded.signed_distance(X), detector.signed_distance(X))


def test_what_a_latent_learns_and_a_file_would_lose_is_refused():
    with pytest.raises(ValueError, match="register it as buffers"):
        build(latent=Fitted, latent_options={"registered": False}, pull="barrier").fit(X)


def test_pull_and_push_are_checked_and_weighed_after_the_latent_has_seen_the_data():
    detector = build(latent=Fitted, pull="squared").fit(X)
    z = detector.ensemble_.sample_latents(4000, 0)
    # The virial weight of |z|²/2 is D / E|z|².
    assert detector.ensemble_.pull.weight == pytest.approx(3 / (z**2).sum(1).mean(), rel=0.05)
    with pytest.raises(ValueError, match="not increasing outward"):
        build(latent=Fitted, pull="max-abs", push="mirror").fit(X)
