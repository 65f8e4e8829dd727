"""What latents, pulls and pushes learn trains, resumes and is saved, or is refused."""

import numpy as np
import pytest
import torch
from small_fits import Undeclared, X, build

import compactflow
from compactflow.latents.base import Latent
from compactflow.latents.cube import Cube
from compactflow.plugins import LatentSpec
from compactflow.plugins.registry import isolated
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.pushes.likelihood import Likelihood
from compactflow.training import trainer


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
