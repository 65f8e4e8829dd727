import math
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from sklearn.metrics import roc_auc_score

from compactflow import OneClassFlow
from compactflow.backbones.base import Backbone
from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pulls.norms import MaxAbs
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein
from compactflow.training.holdout import HoldOut
from compactflow.training.judge import Judge
from compactflow.training.monitors import energy_distance
from compactflow.training.objective import Objective
from compactflow.training.stack import Stack
from compactflow.training.trainer import TrainingDivergedWarning, TrainingOptions, train

PUSHES = {"mirror": (Mirror, MaxAbs), "stein": (Stein, partial(Barrier, sharpness=10.0))}


def moons(n=600, seed=0):
    return torch.from_numpy(make_moons(n, noise=0.05, random_state=seed)[0]).float()


def run(push="stein", *, backbone=None, x=None, latent=Cube, **options):
    torch.manual_seed(0)
    make_push, make_pull = PUSHES[push]
    flow = CompactFlow(backbone or Coupling(2, blocks=2, width=16), latent(2))
    flow.preprocessing.float()
    x = moons() if x is None else x
    settings = TrainingOptions(**{"max_steps": 100, "batch_size": 128} | options)
    history = train(
        [flow],
        x,
        HoldOut(len(x), left_out=100),
        pull=make_pull(flow.latent),
        push=make_push(),
        options=settings,
        generator=torch.Generator().manual_seed(0),
        anchors=flow.latent.adapt(x),
    )
    return flow, history


@pytest.mark.parametrize("push", PUSHES)
def test_same_seed_gives_identical_weights(push):
    one, other = (run(push, max_steps=10)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("push", PUSHES)
def test_training_lowers_the_energy_distance(push):
    _, history = run(push, max_steps=150, learning_rate=4e-3)
    energy = history["energy_distance"]
    assert min(energy) < 0.7 * energy[0]


@pytest.mark.slow
@pytest.mark.parametrize("anchored", [True, False])
def test_warm_up_decides_where_rows_go(anchored):
    class Turned(Cube):
        def adapt(self, x):
            return x @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])

    x = moons()
    flow, history = run(
        latent=Turned if anchored else Cube,
        x=x,
        backbone=Coupling(2, blocks=4, width=16),
        max_steps=200,
        learning_rate=4e-2,
    )
    with torch.no_grad():
        z = flow.backbone(x)
    goal = flow.latent.adapt(x) if anchored else x
    assert torch.cosine_similarity(z - z.mean(0), goal - goal.mean(0)).mean() > 0.6
    assert (min(history["step"]) > 0.2 * 200) == anchored


def test_history_has_every_monitor_at_every_check():
    _, history = run(max_steps=100, checks=10)
    assert set(history) == {
        "step",
        "loss",
        "energy_distance",
        "inlier_fraction",
        "reconstruction_error",
        "conditioning",
        "training_energy_distance",
    }
    assert history["step"] == list(range(10, 101, 10))
    assert all(len(values) == 10 for values in history.values())


def test_best_weights_are_restored():
    flow, history = run(max_steps=200)
    with torch.no_grad():
        torch.manual_seed(1)
        reference = flow.latent.sample(5000)
        energy = energy_distance(flow.backbone(moons()[:100]), reference)
    assert energy == pytest.approx(min(history["energy_distance"]), abs=0.03)


def test_a_push_that_drifts_is_stopped_early():
    _, history = run("mirror", max_steps=400, learning_rate=0.1, patience=2)
    assert history["step"][-1] < 400
    energy = history["training_energy_distance"]
    assert energy[-1] > min(energy)


@pytest.mark.parametrize(("energy", "kept"), [([4.0, 1.0, 2.0], 2), ([0.5, 0.4, 99.0], 1)])
def test_the_last_weights_that_did_not_run_away_are_kept(energy, kept, monkeypatch):
    energies = iter(energy)
    monkeypatch.setattr(Judge, "_measure", lambda _: {"training_energy_distance": next(energies)})
    x = moons(50)
    flow = CompactFlow(Coupling(2, blocks=1), Cube(2))
    pull, rows, generator = MaxAbs(flow.latent), x[:, None], torch.Generator().manual_seed(0)
    model = torch.nn.Linear(1, 1)
    judge = Judge(
        *(model, CompactFlow(Stack([flow.backbone]), flow.latent), Objective(pull, Mirror(), 1)),
        *(rows, HoldOut(50), TrainingOptions(max_steps=9), generator),
    )
    for step in range(3):
        torch.nn.init.constant_(model.weight, step)
        judge.check(step, 0.0)
    judge.restore()
    assert model.weight.item() == kept


def test_held_out_rows_do_not_steer_training():
    x = moons()
    other = torch.cat([5 + torch.randn(100, 2), x[100:]])
    one, two = (run(x=rows, max_steps=60)[0].state_dict() for rows in (x, other))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_of_equal_weights_the_longest_trained_are_kept():
    flow, history = run(max_steps=40, learning_rate=1e-4, warm_up=0.0)
    torch.manual_seed(0)
    untrained = Coupling(2, blocks=2, width=16).state_dict()
    moved = [
        (flow.backbone.state_dict()[name] - value).abs().max() for name, value in untrained.items()
    ]
    # Adam moves each weight by about the learning rate at every step.
    assert max(moved) > 0.5 * 40 * 1e-4 * 0.5
    assert history["step"][-1] == 40


def test_nan_stops_with_the_last_good_weights():
    x = moons()
    x[300] = math.nan
    with pytest.warns(TrainingDivergedWarning, match="not finite"):
        flow, _ = run(x=x)
    assert all(value.isfinite().all() for value in flow.state_dict().values() if value.ndim)


class Breaks(Stein):
    """Right for eleven steps, and then no number."""

    calls = 0

    def forward(self, *args):
        self.calls += 1
        z, term = super().forward(*args)
        return z, term * (1 if self.calls < 12 else math.nan)


def test_weights_that_are_no_numbers_are_undone(monkeypatch):
    monkeypatch.setitem(PUSHES, "breaks", (Breaks, PUSHES["stein"][1]))
    with pytest.warns(TrainingDivergedWarning, match="step 15 .*not finite"):
        flow, history = run("breaks")
    assert history["step"] == [5, 10, 15]
    assert all(parameter.isfinite().all() for parameter in flow.parameters())


def test_runaway_training_is_reported():
    with pytest.warns(TrainingDivergedWarning, match="stopped at step"):
        run("mirror", backbone=Coupling(2, blocks=4), learning_rate=3.0, max_steps=100)


@pytest.mark.slow
def test_memorised_rows_in_many_dimensions_are_no_runaway():
    x = torch.randn(60, 60, generator=torch.Generator().manual_seed(0)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingDivergedWarning)
        detector = OneClassFlow(preset="fast", max_steps=250, members=1, random_state=0).fit(x)
    history = detector.history_
    assert history["step"][-1] == 250
    assert max(history["training_energy_distance"]) > 0.4  # far, for two dimensions


@pytest.mark.parametrize("push", PUSHES)
def test_no_log_det_is_ever_asked_for(push):
    class NoLogDet(Backbone):
        def __init__(self, dim):
            super().__init__(dim)
            self.inner = Coupling(dim, blocks=2, width=8)

        def forward(self, x):
            return self.inner(x)

        def inverse(self, z, *, start=None):
            return self.inner.inverse(z)

        def log_abs_det(self, x):
            raise AssertionError("the log-det was asked for")

    _, history = run(push, backbone=NoLogDet(2), max_steps=20)
    assert len(history["loss"]) == 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "steps"),
    [({"score_by": "support", "members": 1}, 100), ({"preset": "paper"}, 60)],
)
def test_trained_beats_untrained(options, steps):
    X = moons(1000).numpy()
    rng = np.random.default_rng(0)
    test = np.concatenate([moons(500, seed=1).numpy(), rng.uniform([-2, -1.5], [3, 2], (500, 2))])
    outlier = np.repeat([0, 1], 500)
    auroc = []
    for max_steps, rate in ((1, 1e-12), (steps, None)):
        detector = OneClassFlow(**options, max_steps=max_steps, learning_rate=rate, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("error", TrainingDivergedWarning)
            scores = detector.fit(X).signed_distance(test)
        assert np.unique(scores).size > 900
        auroc.append(roc_auc_score(outlier, scores))
    assert auroc[1] > auroc[0] + 0.005
    assert auroc[1] > 0.8
