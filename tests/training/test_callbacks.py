"""Callbacks see the run as it goes, and change nothing."""

import builtins

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pushes.stein import Stein
from compactflow.training.callbacks import Callback, TensorBoard
from compactflow.training.options import TrainingOptions

pytestmark = pytest.mark.filterwarnings(
    "ignore::compactflow.detector.calibration.CalibrationWarning"
)

X = np.random.default_rng(0).normal(size=(60, 2))


def build(**options):
    small = {"backbone_options": {"blocks": 1, "width": 4}, "max_steps": 4, "random_state": 0}
    return compactflow.build(**small | {"members": 2} | options)


class Log(Callback):
    def __init__(self):
        self.events, self.losses, self.encoded = [], [], []

    def on_step(self, state):
        self.events.append(("step", state.step))
        self.losses.append({name: float(value) for name, value in state.losses.items()})
        assert not torch.is_grad_enabled()
        torch.rand(3)  # of the caller's generator, which is no matter of the fit

    def on_check(self, state):
        self.events.append(("check", state.step, state.history["step"][-1]))
        x = torch.from_numpy(X)
        self.encoded.append([flow(x).double() for flow in state.flows])

    def on_end(self, state):
        self.events.append(("end", state.step))
        self.encoded.append([flow(torch.from_numpy(X)).double() for flow in state.flows])


def test_they_see_each_step_check_and_the_end():
    log = Log()
    detector = build().fit(X, callbacks=[log])
    assert log.events[:3] == [("step", 1), ("check", 1, 1), ("step", 2)]
    assert log.events[-2:] == [("check", 4, 4), ("end", 4)]
    for losses, loss in zip(log.losses, detector.history_["loss"], strict=True):
        assert losses["loss"] == loss
        assert losses["loss"] == pytest.approx(losses["pull"] + losses["push"])
    one, other = log.encoded[0], log.encoded[1]
    assert all(not torch.equal(a, b) for a, b in zip(one, other, strict=True))
    for flow, latents in zip(detector.flows_, log.encoded[-1], strict=True):
        torch.testing.assert_close(flow(torch.from_numpy(X)), latents, atol=1e-4, rtol=1e-4)


def test_they_change_nothing():
    class Vandal(Callback):
        def on_step(self, state):
            for flow in state.flows:
                for parameter in flow.backbone.parameters():
                    parameter.zero_()

    plain = build().fit(X).signed_distance(X)
    for callback in (Log(), Vandal()):
        np.testing.assert_array_equal(
            build().fit(X, callbacks=[callback]).signed_distance(X), plain
        )


def test_one_that_fails_leaves_the_detector_as_it_was():
    class Broken(Callback):
        def on_check(self, state):
            raise RuntimeError("no space")

    detector = build()
    with pytest.raises(RuntimeError, match="no space"):
        detector.fit(X, callbacks=[Broken()])
    assert not hasattr(detector, "ensemble_")


@pytest.mark.parametrize("wrong", [print, [print], [Log], Log(), ["TensorBoard"]])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(TypeError, match="callbacks must be"):
        build().fit(X, callbacks=wrong)


def test_a_warm_up_tells_its_loss():
    class Anchored(Cube):
        def adapt(self, x):
            return 0.5 * x

    log = Log()
    build(latent=Anchored, max_steps=10).fit(X, callbacks=[log])
    assert [sorted(losses) for losses in log.losses[:3]] == [
        ["anchors", "loss"],
        ["anchors", "loss"],
        ["loss", "pull", "push"],
    ]


def test_tensorboard_has_losses_and_monitors(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    detector = build().fit(X, callbacks=[TensorBoard(tmp_path, every=2)])
    written = events.EventAccumulator(str(tmp_path)).Reload()
    assert {"loss/loss", "loss/pull", "loss/push", "check/energy_distance"} <= set(
        written.Tags()["scalars"]
    )
    assert [scalar.step for scalar in written.Scalars("loss/loss")] == [2, 4]
    energies = [scalar.value for scalar in written.Scalars("check/energy_distance")]
    assert energies == pytest.approx(detector.history_["energy_distance"])


def test_without_tensorboard_the_error_says_what_to_install(tmp_path, monkeypatch):
    load = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'compactflow\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_train_takes_one_flow_and_torchs_seed():
    def fit():
        torch.manual_seed(0)
        flow = CompactFlow(Coupling(2, blocks=1, width=4), Cube(2))
        options = TrainingOptions(max_steps=3)
        x = torch.from_numpy(X)
        history = compactflow.train(
            flow, x, pull=Barrier(flow.latent), push=Stein(), options=options
        )
        assert history["step"] == [1, 2, 3]
        return flow(x)

    torch.testing.assert_close(fit(), fit(), rtol=0, atol=0)


def test_a_pull_of_another_latent_is_refused():
    flow = CompactFlow(Coupling(2, blocks=1, width=4), Cube(2))
    with pytest.raises(ValueError, match="the flows' latent"):
        compactflow.train(flow, torch.from_numpy(X), pull=Barrier(Cube(2)), push=Stein())
