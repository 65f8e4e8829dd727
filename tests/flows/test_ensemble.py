import functools
import multiprocessing
import os
import tracemalloc
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.exceptions import NotFittedError

import compactflow
from compactflow import plotting
from compactflow.backbones.coupling import Coupling
from compactflow.flows.ensemble import Ensemble
from compactflow.latents.ball import Ball
from compactflow.preprocessing.linear import Identity
from compactflow.pulls.norms import Euclidean
from compactflow.report.survey import Survey

TINY = {
    "boundary": 0.8,
    "max_steps": 3,
    "members": 1,
    "random_state": 0,
    "backbone_options": {"blocks": 2, "width": 8},
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(120, 3))


@pytest.fixture(scope="module")
def detector(X):
    return compactflow.build(**TINY).fit(X)


def frame(X, names):
    return pd.DataFrame(X, columns=list(names))


def interrupt(detector, X):
    """Ctrl-C after training: while it trains, it ends the training."""
    with pytest.MonkeyPatch.context() as patch:
        stopped = Mock(side_effect=KeyboardInterrupt)
        patch.setattr("compactflow.detector.fitting.judge", stopped)
        with pytest.raises(KeyboardInterrupt):
            detector.fit(X)


def refuse_values(detector, X):
    with pytest.raises(ValueError, match="rescale"):
        detector.fit(X * 1e200)


def refuse_options(detector, X):
    detector.set_params(backbone_options={"blocks": -1})
    with pytest.raises(ValueError, match="blocks"):
        detector.fit(X)


def fail_late(detector, X):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compactflow.detector.fitting.judge", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            detector.fit(X)


FAILURES = [interrupt, refuse_values, refuse_options, fail_late]


@pytest.mark.parametrize("fail", FAILURES)
@pytest.mark.parametrize("names", ["xyz", "pq"])
def test_a_refit_that_fails_leaves_the_detector_whole(X, fail, names, tmp_path):
    old = frame(X, "abc")
    detector = compactflow.build(**TINY).fit(old)
    before, scores = set(vars(detector)), detector.signed_distance(old)
    fail(detector, frame(X[:, : len(names)], names))
    assert set(vars(detector)) == before
    detector.set_params(**TINY).save(tmp_path / "model")
    for same in (detector, compactflow.load(tmp_path / "model", device="cpu")):
        assert list(same.feature_names_in_) == list("abc")
        np.testing.assert_array_equal(same.signed_distance(old), scores)


@pytest.mark.parametrize("fail", FAILURES)
def test_a_first_fit_that_fails_leaves_the_detector_unfitted(X, fail):
    detector = compactflow.build(**TINY)
    fail(detector, X)
    for use in (
        lambda: detector.predict(X),
        lambda: detector.explain(X),
        lambda: detector.sample(),
        lambda: detector.save("model"),
        lambda: detector.flow_,
        lambda: plotting.plot_scores(detector, X),
        lambda: plotting.plot_history(detector),
        lambda: plotting.plot_latent_pairs(detector, X),
        lambda: Survey.of(detector, [X]),
    ):
        with pytest.raises(NotFittedError):
            use()


def test_a_refit_without_names_forgets_the_names(X):
    detector = compactflow.build(**TINY).fit(frame(X, "abc"))
    assert not hasattr(detector.fit(X), "feature_names_in_")


def test_a_boundary_that_fails_changes_nothing(X):
    detector = compactflow.build(**TINY).fit(X)
    object.__setattr__(detector.calibration_, "scores", np.empty(0))
    level = detector.ensemble_.level
    with pytest.raises(ValueError, match="fit it again"):
        detector.set_boundary(0.5)
    assert (detector.boundary, detector.ensemble_.level) == (0.8, level)


@pytest.mark.parametrize("level", [-0.5, 0.0, 2.0])
def test_latents_are_projected_onto_the_support_at_its_level(level):
    parts = [Coupling(2, blocks=1)], [Identity(2)], Euclidean(Ball(2))
    ensemble = Ensemble(*parts).double().at(level)
    projected = torch.from_numpy(ensemble.project(np.array([[30.0, 40.0], [0.1, 0.2]])))
    assert float(ensemble.latent.signed_distance(projected)[0]) == pytest.approx(level)
    assert projected[1].tolist() == [0.1, 0.2]


class Setting:
    """A caller's setting of torch, put back afterwards."""

    def __init__(self, put, get, value, usual):
        self.put, self.get, self.value, self.usual = put, get, value, usual

    def __enter__(self):
        self.put(self.value)

    def __exit__(self, *_):
        kept = self.get() == self.value
        self.put(self.usual)
        assert kept


DTYPE = torch.set_default_dtype, torch.get_default_dtype
SETTINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta": lambda: torch.device("meta"),
    "default device": lambda: Setting(
        torch.set_default_device,
        torch.get_default_device,
        torch.device("meta"),
        None,  # the CPU as default would cost time in each call of torch from then on
    ),
    "float64": lambda: Setting(*DTYPE, torch.float64, torch.float32),
    "float16": lambda: Setting(*DTYPE, torch.float16, torch.float32),
    "gradients off": lambda: Setting(torch.set_grad_enabled, torch.is_grad_enabled, False, True),
}


def answers(detector, X):
    return [detector.log_density(X), detector.sample(5, 0), detector.explain(X[:5]).difference]


def small(backbone):
    deep = "layers" if backbone == "autoregressive" else "blocks"
    return compactflow.build(backbone, **TINY | {"backbone_options": {deep: 2, "width": 8}})


@functools.cache
def expected(backbone):
    """What a fit answers where the caller has set nothing."""
    X = np.random.default_rng(0).normal(size=(40, 3))
    return X, answers(small(backbone).fit(X), X)


@pytest.mark.parametrize(
    ("backbone", "setting"),
    [
        *(("coupling", setting) for setting in SETTINGS),
        ("autoregressive", "float16"),
        ("iresnet", "float16"),
    ],
)
def test_what_the_caller_set_in_torch_changes_nothing(backbone, setting, tmp_path):
    X, same = expected(backbone)
    with SETTINGS[setting]():
        detector = small(backbone).fit(X)
        results = answers(detector, X)
        detector.save(tmp_path / "model")
        loaded = compactflow.load(tmp_path / "model", device="cpu")
        np.testing.assert_array_equal(loaded.log_density(X), results[0])
    for one, other in zip(results, same, strict=True):
        np.testing.assert_array_equal(one, other)
    for fitted in (detector, loaded):
        x = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.grad(fitted.ensemble_(x).sum(), x)[0].isfinite().all()


@pytest.mark.parametrize(
    "view", [lambda X: X[::-1], lambda X: X[:, ::-1], np.flip, lambda X: X[:1][::-1]]
)
def test_reversed_views_are_rows_like_others(view, X, detector):
    rows = view(X)
    for name in ("predict", "transform", "inverse_transform", "log_density", "p_values"):
        method = getattr(detector, name)
        np.testing.assert_array_equal(method(rows), method(rows.copy()))
    difference = detector.explain(rows).difference
    np.testing.assert_array_equal(difference, detector.explain(rows.copy()).difference)
    plotting.plot_scores(detector, rows)
    assert Survey.of(detector, [rows]).rows == len(rows)
    compactflow.build(**TINY).fit(view(np.r_[X, X]).repeat(2, axis=0)[:50])


def test_output_as_data_frames_changes_no_explanation_or_picture(X):
    detector = compactflow.build(**TINY).fit(X)
    rows = 3 * X[:20]
    plain = detector.explain(rows)
    ways = [lambda: sklearn.config_context(transform_output="pandas")] * 2
    for k, way in enumerate(ways):
        if k:
            detector.set_output(transform="pandas")
        with way():
            assert isinstance(detector.transform(X), pd.DataFrame)
            np.testing.assert_array_equal(detector.explain(rows).difference, plain.difference)
            plotting.plot_latent_pairs(detector, X, 2)


def test_a_named_detector_draws_arrays_and_frames_alike(X, recwarn):
    detector = compactflow.build(**TINY).fit(frame(X, "abc"))
    plotting.plot_scores(detector, X)
    plotting.plot_scores(detector, frame(X, "abc"))
    assert not recwarn
    with pytest.raises(ValueError, match="feature names"):
        plotting.plot_scores(detector, frame(X, "abz"))
    with pytest.raises(ValueError, match="2 features"):
        plotting.plot_scores(detector, X[:, :2])


def test_numpy_numbers_are_numbers(X, tmp_path):
    options = {
        "max_steps": np.int64(3),
        "members": np.uint8(1),
        "batch_size": np.int32(9),
        "random_state": np.int64(3),
        "boundary": np.float32(0.5),
        "noise": np.float64(0.1),
        "backbone_options": {"blocks": np.int64(2), "width": np.int16(8), "clamp": np.float32(1)},
    }
    detector = compactflow.build(**options).fit(X)
    assert detector.sample(np.int64(3), np.int64(0)).shape == (3, 3)
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    assert loaded.random_state == 3
    assert loaded.backbone_options["width"] == 8
    np.testing.assert_array_equal(loaded.fit(X).signed_distance(X), detector.signed_distance(X))


@pytest.mark.slow
def test_samples_take_bounded_memory(detector):
    n = 100_000
    tracemalloc.start()
    rows = detector.sample(n, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * rows.nbytes
    assert rows.std(axis=0) == pytest.approx(detector.sample(5000, 1).std(axis=0), rel=0.1)
    assert len(np.unique(rows, axis=0)) == n


def score(detector, X, results):
    results.put(detector.signed_distance(X))
    results.put(compactflow.build(**TINY).fit(X[:200]).signed_distance(X[:5]))
    results.put(len(detector.explain(3 * X[:20]).X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_computes_on(detector):
    X = np.random.default_rng(0).normal(size=(20_000, 3))
    torch.set_num_threads(4)
    expected = detector.signed_distance(X)  # OpenMP's threads have now begun
    torch.mm(torch.ones(1000, 1000), torch.ones(1000, 1000))
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    process = fork.Process(target=score, args=(detector, X, results))
    process.start()
    try:
        np.testing.assert_allclose(results.get(timeout=60), expected, rtol=1e-12)
        assert np.isfinite(results.get(timeout=60)).all()
        assert results.get(timeout=60) == 20
    finally:
        process.kill()
        process.join()
