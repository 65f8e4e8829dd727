"""The natural boundary: the latent's own support, with latents scaled to keep a share inside."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.detector.calibration import CalibrationWarning
from compactflow.detector.held_out import fit_scale
from compactflow.flows.ensemble import Ensemble
from compactflow.latents.ball import Ball
from compactflow.preprocessing.linear import Identity
from compactflow.pulls.norms import Euclidean
from compactflow.training.holdout import HoldOut

SMALL = {"max_steps": 2, "backbone_options": {"blocks": 2, "width": 8}, "random_state": 0}
LATENTS = {
    "cube": ({}, 0.95),
    "gaussian": ({"alpha": 0.2}, 0.8),
    "product": ({"parts": ["cube", "ball"]}, 0.95),
}


def rows(n, seed=0):
    return 3 * np.random.default_rng(seed).normal(size=(n, 3)) + 5


@pytest.fixture(
    params=[("cube", 1), ("gaussian", 1), ("product", 1), ("gaussian", 4)], scope="module"
)
def natural(request):
    name, members = request.param
    options, share = LATENTS[name]
    held_out = {"validation_fraction": 0.5}
    build = {"latent": name, "latent_options": options, "members": members, **SMALL, **held_out}
    return compactflow.build(boundary="natural", **build).fit(rows(400)), share


def test_the_latents_own_support_keeps_its_share_of_new_rows(natural):
    detector, share = natural
    ensemble = detector.ensemble_
    scores, held_out = detector.calibration_.scores, len(detector.calibration_.scores)
    assert ensemble.level == 0 != ensemble.scale - 1
    inside = int((scores <= 0).sum())
    least = np.ceil(share * (held_out + 1) - 1e-9)  # of the conformal quantile
    assert least <= inside <= least + 1
    assert scores[inside - 1] == pytest.approx(0, abs=1e-6)
    assert (detector.predict(rows(2000, seed=1)) == 1).mean() == pytest.approx(share, abs=0.06)


def test_the_map_has_changed_and_not_the_set(natural, tmp_path):
    detector, _ = natural
    X, ensemble = rows(50, seed=2), detector.ensemble_
    bare = ensemble.at(0.0, scale=1.0)
    np.testing.assert_allclose(detector.transform(X), ensemble.scale * bare.encode(X), rtol=1e-9)
    np.testing.assert_allclose(detector.inverse_transform(detector.transform(X)), X, rtol=1e-9)
    np.testing.assert_allclose(detector.log_density(X), bare.log_density(X), rtol=1e-9)
    drawn, same = (each.sample(50, 0, inside=False) for each in (ensemble, bare))
    np.testing.assert_allclose(drawn, same, rtol=1e-9)
    with torch.no_grad():
        own = [flow.signed_distance(torch.from_numpy(X)).numpy() for flow in detector.flows_]
    detector.save(tmp_path / "model")
    for same in (detector, compactflow.load(tmp_path / "model", device="cpu")):
        distance = same.signed_distance(X)
        np.testing.assert_allclose(distance, np.mean(own, axis=0), atol=1e-9)
        np.testing.assert_array_equal(same.predict(X) == 1, distance <= 0)
        assert (same.predict(same.sample(100, random_state=0)) == 1).all()
        assert (same.predict(same.explain(3 * X).counterfactual) == 1).all()
    if len(own) == 1:
        edge = ensemble.decode(ensemble.boundary(20))
        np.testing.assert_allclose(detector.signed_distance(edge), 0, atol=1e-6)
        projected = ensemble.decode(ensemble.project(ensemble.encode(3 * X)))
        assert detector.signed_distance(projected).max() < 1e-6


def test_of_one_ball_the_scale_is_one_over_a_quantile_of_the_norms():
    ensemble = Ensemble([Coupling(3, blocks=2)], [Identity(3)], Euclidean(Ball(3)))
    ensemble.place(torch.device("cpu"))
    X, hold_out = rows(300), HoldOut(300, left_out=100)
    norms = np.sort(np.linalg.norm(ensemble.encode(X[:100]), axis=1))
    scale = fit_scale(ensemble, X, hold_out, 0.9)
    assert scale == pytest.approx(1 / norms[90], rel=1e-6)  # the 91st of 100: 0.9 of 101
    trimmed = fit_scale(ensemble, X, hold_out, 0.9, outlier_share=0.5)
    assert trimmed == pytest.approx(1 / norms[45], rel=1e-6)
    groups = np.r_[np.arange(50), np.zeros(250, dtype=int)]  # 49 of these are held out as a whole
    alone = np.sort(np.linalg.norm(ensemble.encode(X[1:50]), axis=1))
    scale = fit_scale(ensemble, X, hold_out, 0.5, groups)
    assert scale == pytest.approx(1 / alone[25], rel=1e-6)


def test_a_support_that_is_not_around_0_is_left_as_it_is():
    options = {"of": "ball", "scale": 2.0, "shift": [1.0, 0.0, 0.0]}
    build = {"latent": "affine", "latent_options": options, "members": 1, **SMALL}
    natural, bare = (
        compactflow.build(boundary=word, **build).fit(rows(60)) for word in ("natural", "bare")
    )
    assert natural.ensemble_.scale == 1
    np.testing.assert_array_equal(natural.signed_distance(rows(9)), bare.signed_distance(rows(9)))


def test_other_rows_scale_latents_anew():
    detector = compactflow.build(boundary="natural", members=2, **SMALL).fit(rows(200))
    before, far = detector.ensemble_.scale, 2 * (rows(400, seed=1) - 5) + 5
    assert (detector.recalibrate(far).predict(far) == 1).mean() == pytest.approx(0.95, abs=0.01)
    assert detector.ensemble_.scale < before
    assert detector.ensemble_.level == 0


def test_what_set_boundary_can_do_depends_on_the_fit():
    natural = compactflow.build(boundary="natural", members=1, **SMALL).fit(rows(100))
    before = natural.signed_distance(rows(9))
    moved = natural.set_boundary(0.5).signed_distance(rows(9))
    assert (moved > before).all()
    np.testing.assert_array_equal(natural.set_boundary("natural").signed_distance(rows(9)), before)
    with pytest.raises(ValueError, match="boundary='bare'"):
        natural.set_boundary("bare")
    bare = compactflow.build(boundary="bare", members=1, **SMALL).fit(rows(100))
    with pytest.raises(ValueError, match="boundary='natural'"):
        bare.set_boundary("natural")
    assert bare.set_boundary(0.9).set_boundary("bare").ensemble_.level == 0


def test_too_few_rows_are_warned_of():
    with pytest.warns(CalibrationWarning, match="takes 19 held-out"):
        compactflow.build(boundary="natural", members=1, **SMALL).fit(rows(40))
