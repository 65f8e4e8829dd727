"""Ctrl-C while flows train."""

import numpy as np
import pytest

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
