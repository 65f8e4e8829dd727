"""Ctrl-C while flows train, and in all that a detector does before and after."""

import numpy as np
import pandas as pd
import pytest
import torch

import compactflow
from compactflow.cli import main
from compactflow.detector import fitting
from compactflow.training.callbacks import Callback
from compactflow.training.options import TrainingInterruptedWarning

X = np.random.default_rng(0).normal(size=(100, 3))
LONG = {"max_steps": 1000, "members": 1, "random_state": 0}


class Stop(Callback):
    def __init__(self, step):
        self.step, self.ended = step, False

    def on_step(self, state):
        if state.step == self.step:
            raise KeyboardInterrupt

    def on_end(self, state):
        self.ended = True


@pytest.mark.parametrize("step", [3, 60])  # before the first check and after
def test_the_best_weights_so_far_are_calibrated(step):
    callback, detector = Stop(step), compactflow.build(**LONG)
    with pytest.warns(TrainingInterruptedWarning, match=f"at step {step} of 1000: the best"):
        detector.fit(X, callbacks=[callback])
    assert callback.ended
    assert detector.history_["step"][-1] == step
    assert (detector.predict(X) == 1).mean() > 0.7
    assert (detector.predict(X + 50) == -1).all()
    untrained = compactflow.build(**LONG | {"max_steps": 1, "learning_rate": 1e-12}).fit(X)
    assert not np.allclose(detector.transform(X), untrained.transform(X), atol=1e-3)


def test_with_a_checkpoint_the_fit_ends_to_go_on_later(tmp_path):
    detector = compactflow.build(**LONG)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(X, checkpoint=tmp_path, callbacks=[Stop(60)])
    assert not hasattr(detector, "ensemble_")


def test_the_command_line_writes_a_whole_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("train.csv", X, delimiter=",", header="a,b,c", comments="")
    train = fitting.train
    monkeypatch.setattr(
        fitting, "train", lambda *a, **k: train(*a, **k | {"callbacks": [Stop(3)]})
    )
    assert main(["fit", "train.csv", "--out", "model", "--members", "1"]) == 0
    assert "warning: training was interrupted at step 3" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"train.csv", "model"}
    assert (compactflow.load("model").predict(X) == 1).any()


@pytest.fixture(scope="module")
def hall():
    """A table with a context, a detector fitted to it, and what it says of the table."""
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(machine=["m1", "m2"] * 50)
    options = LONG | {"max_steps": 1, "context": ["machine"], "backbone_options": {"blocks": 1}}
    return table, compactflow.build(**options).fit(table)


def again(detector, table):
    detector.fit(table, [-1] + [1] * 99)


PHASES = {
    "compactflow.detector.rows.TableEncoder.fit": again,
    "compactflow.detector.fitting.fit_layers": again,
    "compactflow.detector.fitting.train": again,
    "compactflow.flows.ensemble.Ensemble.fit_score": again,
    "compactflow.flows.contexts.Contexts.fit": again,
    "compactflow.flows.ensemble.Ensemble.lean": again,
    "compactflow.detector.fitting.judge": again,
    "compactflow.flows.contexts.Contexts.match": again,
    "compactflow.flows.neighbours.Neighbours._space": compactflow.OneClassFlow.partial_fit,
    "compactflow.detector.updating.judge": compactflow.OneClassFlow.partial_fit,
    "compactflow.detector.calibration.Calibration.of": compactflow.OneClassFlow.partial_fit,
    "compactflow.detector.updating.match_groups": compactflow.OneClassFlow.recalibrate,
    "compactflow.detector.calibration.Calibration.threshold": lambda detector, _: (
        detector.set_boundary(0.5)
    ),
}


@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_leaves_a_detector_as_it_was(hall, monkeypatch, phase):
    table, detector = hall
    before, said = dict(vars(detector)), detector.signed_distance(table)
    state = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(phase, interrupt)
        with pytest.raises(KeyboardInterrupt):
            PHASES[phase](detector, table)
    assert vars(detector) == before
    np.testing.assert_array_equal(detector.signed_distance(table), said)
    assert state == (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


def test_an_interrupt_in_a_check_leaves_no_record_torn_or_twice(monkeypatch):
    from compactflow.training.judge import Judge

    decide = Judge._decide

    def interrupt(judge, step):
        decide(judge, step)
        if step >= 40:
            raise KeyboardInterrupt
        return True, ""

    monkeypatch.setattr(Judge, "_decide", interrupt)
    with pytest.warns(TrainingInterruptedWarning):
        detector = compactflow.build(**LONG).fit(X)
    steps = detector.history_["step"]
    assert len(steps) == len(set(steps))
    assert {len(values) for values in detector.history_.values()} == {len(steps)}


@pytest.mark.parametrize("command", ["fit", "score"])
def test_an_interrupted_command_leaves_files_as_they_were(
    hall, tmp_path, monkeypatch, capsys, command
):
    monkeypatch.chdir(tmp_path)
    table, detector = hall
    table.to_csv("t.csv", index=False)
    detector.save("model")
    (tmp_path / "out.csv").write_text("of old")
    words = {"fit": ["fit", "t.csv", "--max-steps", "1"], "score": ["score", "model", "t.csv"]}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    place = {"fit": "detector.fitting.judge", "score": "encoding.encoder.TableEncoder.features"}
    monkeypatch.setattr(f"compactflow.{place[command]}", interrupt)
    assert main([*words[command], "--out", "out.csv", "--force", "--quiet"]) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"t.csv", "model", "out.csv"}
    assert (tmp_path / "out.csv").read_text() == "of old"
