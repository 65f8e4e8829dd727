"""Optimisers and schedules by name, class and function, in a fit, a file and a checkpoint."""

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, ReduceLROnPlateau

import compactflow
from compactflow.persistence.archive import ArchiveError
from compactflow.training.callbacks import Callback
from compactflow.training.optimisation import make_optimizer, make_schedule

pytestmark = pytest.mark.filterwarnings(
    "ignore::compactflow.detector.calibration.CalibrationWarning",
    "ignore::compactflow.training.options.TrainingDivergedWarning",
)

X = np.random.default_rng(0).normal(size=(60, 2))


def build(**options):
    small = {"backbone_options": {"blocks": 1, "width": 4}, "max_steps": 4, "random_state": 0}
    return compactflow.build(**small | {"members": 1} | options)


def slow_sgd(parameters, lr):
    return torch.optim.SGD(parameters, lr=0.1 * lr)


def halving(optimizer, steps):
    return LambdaLR(optimizer, lambda step: 0.5**step)


def rates(schedule, steps=4):
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    made = make_schedule(schedule, optimizer, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        made.step()
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, 0.8536, 0.5, 0.1464]),
        (CosineAnnealingLR, [1, 0.8536, 0.5, 0.1464]),
        (halving, [1, 0.5, 0.25, 0.125]),
    ],
)
def test_schedules_do_what_they_say(schedule, expected):
    assert rates(schedule) == pytest.approx(expected, abs=1e-4)


def test_one_cycle_rises_to_the_rate_and_falls():
    found = rates("one-cycle", 20)
    assert max(found) == pytest.approx(1, abs=0.02)
    assert found[0] < 0.1
    assert found[-1] < 0.1


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "radam", "rmsprop", "sgd"])
def test_each_optimizer_steps_downhill(optimizer):
    parameter = torch.nn.Parameter(torch.ones(3))
    made = make_optimizer(optimizer, [parameter], 0.01)
    for _ in range(8):
        made.zero_grad()
        parameter.square().sum().backward()
        made.step()
    assert (parameter < 0.999).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd", torch.optim.Adagrad, slow_sgd])
def test_a_choice_trains_resumes_and_saves(optimizer, tmp_path):
    class Stop(Callback):
        def on_step(self, state):
            if state.step == 3:
                raise KeyboardInterrupt

    whole = build(optimizer=optimizer).fit(X)
    with pytest.raises(KeyboardInterrupt):
        build(optimizer=optimizer).fit(X, checkpoint=tmp_path, callbacks=[Stop()])
    resumed = build(optimizer=optimizer).fit(X, checkpoint=tmp_path)
    np.testing.assert_array_equal(resumed.signed_distance(X), whole.signed_distance(X))
    whole.save(tmp_path / "m.model")
    loaded = compactflow.load(tmp_path / "m.model")
    assert loaded.optimizer == (optimizer if isinstance(optimizer, str) else None)
    np.testing.assert_array_equal(loaded.signed_distance(X), whole.signed_distance(X))


def test_choices_change_the_fit():
    scores = [
        build(**options).fit(X).signed_distance(X)
        for options in (
            {},
            {"optimizer": "sgd"},
            {"schedule": "constant"},
            {"schedule": halving},
            {"clip": 1e-3, "optimizer": "sgd"},
        )
    ]
    assert len({score.tobytes() for score in scores}) == len(scores)


def test_patience_stops_a_run_that_gets_worse():
    options = {"push": "mirror", "max_steps": 40, "learning_rate": 0.3}
    steps = [build(**options, patience=p).fit(X).history_["step"] for p in (1, 8)]
    assert len(steps[0]) < len(steps[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamm"}, "optimizer must be one of 'adam'"),
        ({"optimizer": 3}, "optimizer must be one of"),
        ({"schedule": "cyclic"}, "schedule must be one of 'one-cycle'"),
        ({"clip": 0}, "clip"),
        ({"clip": float("nan")}, "clip"),
        ({"patience": 0}, "patience"),
    ],
)
def test_unfit_choices_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("make", "choice", "message"),
    [
        (make_optimizer, torch.optim.LBFGS, "must take steps without arguments, and LBFGS"),
        (make_optimizer, lambda parameters: None, "missing|unexpected"),
        (make_optimizer, lambda parameters, lr: None, "returned None"),
        (make_schedule, ExponentialLR, "ExponentialLR from .optimizer. alone: .*gamma"),
        (make_schedule, ReduceLROnPlateau, "steps without arguments"),
        (make_schedule, lambda optimizer, steps: 1, "returned 1"),
    ],
)
def test_what_cannot_serve_is_refused(make, choice, message):
    parameter = torch.nn.Parameter(torch.ones(1))
    if make is make_optimizer:
        arguments = [parameter], 0.1
    else:
        arguments = torch.optim.SGD([parameter], lr=1.0), 5
    with pytest.raises(ValueError, match=message):
        make(choice, *arguments)


def test_a_checkpoint_with_moments_of_another_shape_is_refused(tmp_path):
    from compactflow.persistence import archive

    build(optimizer="sgd").fit(X, checkpoint=tmp_path)
    path = tmp_path / "training.checkpoint"
    version, content = archive.read(path, "checkpoint")
    moments = content["state"]["run"]["optimizer"]["state"][0]
    moments["momentum_buffer"] = torch.zeros(1)
    archive.write(path, "checkpoint", version, content)
    with pytest.raises(ArchiveError, match="optimizer state 0 momentum_buffer is of another"):
        build(optimizer="sgd").fit(X, checkpoint=tmp_path)
