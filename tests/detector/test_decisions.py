import numpy as np
import pytest
import torch

import compactflow
from compactflow.detector.calibration import Calibration

FEATURES = 5


@pytest.fixture(scope="module")
def detector():
    X = np.random.default_rng(0).normal(size=(1000, FEATURES))
    return compactflow.build(
        max_steps=5, validation_fraction=0.5, backbone_options={"blocks": 2}, random_state=0
    ).fit(X)


@pytest.fixture(scope="module")
def scored(detector):
    """New inliers and outliers."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(5000, FEATURES)), 3 * rng.normal(size=(500, FEATURES))


@pytest.fixture
def restored(detector):
    """The detector, put back as it was afterwards."""
    before = dict(vars(detector))
    yield detector
    vars(detector).update(before)


def test_p_values_of_new_inliers_are_super_uniform(restored, scored):
    inliers, _ = scored
    scores = restored.signed_distance(inliers) + restored.ensemble_.level
    rng = np.random.default_rng(2)
    levels = np.array([0.02, 0.05, 0.1, 0.2, 0.5, 0.9])
    below = []
    for _ in range(400):  # the guarantee is on average over calibration sets
        drawn = rng.permutation(len(inliers))
        calibration = Calibration.of(scores[drawn[:99]], held_out=True)
        p = calibration.p_values(scores[drawn[99:149]])
        assert ((p >= 1 / 100) & (p <= 1)).all()
        below.append((p[:, None] <= levels).mean(axis=0))
    # With 99 calibration rows the p-values are uniform on 1/100, 2/100, ..., 1.
    error = np.std(below, axis=0) / np.sqrt(len(below))
    assert (np.abs(np.mean(below, axis=0) - levels) <= 3 * error).all()
    restored.calibration_ = calibration
    np.testing.assert_array_equal(restored.p_values(inliers[drawn[99:149]]), p)


def test_p_values_from_the_fit_itself(detector, scored):
    inliers, outliers = scored
    p = detector.p_values(inliers)
    for level in (0.05, 0.1, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.04)
    assert np.median(detector.p_values(outliers)) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "features"), [(80, 3), (100, 150)])
def test_few_rows_calibrate_an_ensemble_even_in_many_dimensions(rows, features):
    rng = np.random.default_rng(0)
    of_a_pair, of_the_mean = [], []
    for seed in range(3):
        X, new = rng.normal(size=(rows, features)), rng.normal(size=(500, features))
        fitted = compactflow.build(
            boundary=0.8, max_steps=2, backbone_options={"blocks": 2}, random_state=seed
        ).fit(X)
        assert len(fitted.calibration_.scores) == 40
        scores = np.stack([fitted.ensemble_.member_scores(new, m) for m in range(4)])
        pairs = scores.reshape(2, 2, -1).mean(axis=1)
        of_a_pair.append((pairs <= fitted.ensemble_.level).mean())
        of_the_mean.append((fitted.predict(new) == 1).mean())
    # A first layer that knew the rows would leave half of the new ones outside in 150 dimensions.
    assert np.mean(of_a_pair) == pytest.approx(0.8, abs=0.06)
    # The mean of all spreads less than those of pairs that calibrate it: it errs to the inside.
    assert 0.74 < np.mean(of_the_mean) < 0.92


def test_false_discovery_rate_is_held_and_outliers_are_found(restored, scored):
    inliers, outliers = scored
    level = restored.ensemble_.level
    scores, far = (restored.signed_distance(rows) + level for rows in scored)
    rng = np.random.default_rng(3)
    false, power = [], []
    for _ in range(200):
        drawn, ten = rng.permutation(len(inliers)), rng.integers(len(outliers), size=10)
        calibration = Calibration.of(scores[drawn[:500]], held_out=True)
        p = calibration.p_values(np.concatenate([scores[drawn[500:590]], far[ten]]))
        found = calibration.discoveries(p, 0.2)
        assert found.dtype == bool
        false.append(found[:90].sum() / max(found.sum(), 1))
        power.append(found[90:].mean())
    error = np.std(false) / np.sqrt(200)
    assert np.mean(false) <= 0.2 + 2 * error
    assert np.mean(power) > 0.5
    restored.calibration_ = calibration
    rows = np.concatenate([inliers[drawn[500:590]], outliers[ten]])
    np.testing.assert_array_equal(restored.discoveries(rows, fdr=0.2), found)


def test_set_boundary_moves_the_decision_alone(restored, scored):
    inliers, _ = scored
    distance = restored.signed_distance(inliers)
    assert restored.set_boundary(0.5) is restored
    half = restored.predict(inliers)
    assert (half == 1).mean() == pytest.approx(0.5, abs=0.05)
    restored.set_boundary(false_positive_rate=0.5)
    np.testing.assert_array_equal(restored.predict(inliers), half)
    moved = restored.signed_distance(inliers) - distance
    np.testing.assert_allclose(moved, moved[0], atol=1e-12)
    np.testing.assert_array_equal(half == 1, restored.signed_distance(inliers) <= 0)
    assert restored.boundary == 0.5
    with pytest.raises(ValueError, match="score_by='support'"):
        restored.set_boundary("natural")


def test_the_bare_boundary_is_that_of_the_latent(scored):
    """The mean of eq. 2-4 over the flows, at the fit and by a move of the boundary."""
    inliers, outliers = scored
    rows = np.concatenate([inliers[:50], outliers[:50]])
    fit = {"max_steps": 5, "members": 2, "random_state": 0, "backbone_options": {"blocks": 2}}
    bare = compactflow.build(**fit, boundary="bare").fit(inliers[:200])
    moved = compactflow.build(**fit, score_by="support").fit(inliers[:200]).set_boundary("bare")
    with torch.no_grad():
        own = [flow.signed_distance(torch.from_numpy(rows)).numpy() for flow in bare.flows_]
    for detector in (bare, moved):
        assert detector.ensemble_.scale == 1
        distance = detector.signed_distance(rows)
        np.testing.assert_allclose(distance, np.mean(own, axis=0), atol=1e-12)
        np.testing.assert_array_equal(detector.predict(rows) == 1, distance <= 0)


def test_the_natural_boundary_of_a_normal_latent_holds_its_share():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(500, 3)), rng.normal(size=(2000, 3))
    for alpha in (0.05, 0.3):
        detector = compactflow.build(
            latent="gaussian",
            latent_options={"alpha": alpha},
            boundary="natural",
            members=1,
            max_steps=5,
            random_state=0,
        ).fit(X)
        assert (detector.predict(new) == 1).mean() == pytest.approx(1 - alpha, abs=0.05)


@pytest.mark.parametrize(
    ("latent", "members"),
    [
        ({"latent": "ball"}, 1),
        ({"latent": "cube"}, 2),
        ({"latent": "affine", "latent_options": {"of": "ball", "scale": 2.0, "shift": 0.5}}, 2),
        ({"latent": "product", "latent_options": {"parts": ["cube", "ball"]}}, 1),
    ],
)
@pytest.mark.parametrize("options", [{}, {"score_by": "support"}, {"boundary": "natural"}])
def test_the_sign_of_the_distance_is_the_decision(latent, members, options, scored, tmp_path):
    inliers, outliers = scored
    rows = np.concatenate([inliers[:200], outliers[:50]])
    fit = {"members": members, "max_steps": 2, "backbone_options": {"blocks": 2}}
    detector = compactflow.build(random_state=0, **fit, **latent, **options).fit(inliers[:200])
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    levels = [None] if options else [None, 0.5]
    for level in levels:
        for same in (detector, loaded):
            if level is not None:
                same.set_boundary(level)
            np.testing.assert_array_equal(same.predict(rows) == 1, same.signed_distance(rows) <= 0)


def test_set_boundary_agrees_with_a_fit_at_that_level(restored):
    X = np.random.default_rng(0).normal(size=(1000, FEATURES))
    refit = compactflow.build(**restored.get_params() | {"boundary": 0.8}).fit(X)
    assert restored.set_boundary(level=0.8).ensemble_.level == refit.ensemble_.level


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({}, "neither"),
        ({"level": 0.9, "false_positive_rate": 0.1}, "both"),
        ({"level": 1.0}, "level"),
        ({"level": "natura"}, "level"),
        ({"level": float("nan")}, "level"),
        ({"false_positive_rate": 0}, "false_positive_rate"),
    ],
)
def test_set_boundary_refuses(detector, arguments, word):
    level = detector.ensemble_.level
    with pytest.raises(ValueError, match=word):
        detector.set_boundary(**arguments)
    assert detector.ensemble_.level == level


def test_discoveries_refuse_a_bad_rate(detector):
    with pytest.raises(ValueError, match="fdr"):
        detector.discoveries(np.zeros((2, FEATURES)), fdr=1.5)


@pytest.mark.parametrize(
    ("rows", "options", "inside"),
    [(9, {}, 6), (40, {"validation_fraction": 0}, 21)],  # a tenth of 9 is less than a row
)
def test_without_held_out_rows_there_are_levels_but_no_p_values(rows, options, inside):
    X = np.random.default_rng(0).normal(size=(rows, 2))
    detector = compactflow.build(max_steps=2, random_state=0, **options).fit(X)
    assert not detector.calibration_.held_out
    # The conformal quantile at a half, which rounds up.
    assert (detector.set_boundary(0.5).predict(X) == 1).sum() == inside
    for judge in (detector.p_values, detector.discoveries):
        with pytest.raises(ValueError, match="validation_fraction"):
            judge(X)


def test_an_unfitted_detector_says_so():
    with pytest.raises(ValueError, match="not fitted"):
        compactflow.build().set_boundary(0.9)


def test_a_loaded_detector_decides_alike(restored, scored, tmp_path):
    inliers, _ = scored
    restored.set_boundary(0.7).save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.p_values(inliers), restored.p_values(inliers))
    assert loaded.boundary == 0.7
    levels = [
        [same.ensemble_.level, same.set_boundary(0.9).ensemble_.level]
        for same in (loaded, restored)
    ]
    assert levels[0] == levels[1]
    assert levels[0][0] < levels[0][1]
