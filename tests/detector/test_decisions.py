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
        max_steps=30, validation_fraction=0.5, backbone_options={"blocks": 2}, random_state=0
    ).fit(X)


@pytest.fixture(scope="module")
def scored(detector):
    """New inliers and outliers."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(20_000, FEATURES)), 3 * rng.normal(size=(2000, FEATURES))


@pytest.fixture
def restored(detector):
    """The detector, put back as it was afterwards."""
    before = dict(vars(detector))
    yield detector
    vars(detector).update(before)


def test_p_values_of_new_inliers_are_super_uniform(restored, scored):
    inliers, _ = scored
    scores = restored.signed_distance(inliers)
    rng = np.random.default_rng(2)
    levels = np.array([0.02, 0.05, 0.1, 0.2, 0.5, 0.9])
    below = []
    for _ in range(400):  # the guarantee is on average over calibration sets
        drawn = rng.permutation(len(inliers))
        restored.calibration_ = Calibration.of(scores[drawn[:99]], held_out=True)
        p = restored.p_values(inliers[drawn[99:149]])
        assert ((p >= 1 / 100) & (p <= 1)).all()
        below.append((p[:, None] <= levels).mean(axis=0))
    # With 99 calibration rows the p-values are uniform on 1/100, 2/100, ..., 1.
    error = np.std(below, axis=0) / np.sqrt(len(below))
    assert (np.abs(np.mean(below, axis=0) - levels) <= 3 * error).all()


def test_p_values_from_the_fit_itself(detector, scored):
    inliers, outliers = scored
    p = detector.p_values(inliers)
    for level in (0.05, 0.1, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.04)
    assert np.median(detector.p_values(outliers)) < 0.05


@pytest.mark.parametrize(("rows", "features"), [(80, 3), (100, 150)])
def test_few_rows_calibrate_an_ensemble_even_in_many_dimensions(rows, features):
    rng = np.random.default_rng(0)
    of_a_flow, of_the_mean = [], []
    for seed in range(6):
        X, new = rng.normal(size=(rows, features)), rng.normal(size=(500, features))
        fitted = compactflow.build(
            boundary=0.8, max_steps=60, backbone_options={"blocks": 2}, random_state=seed
        ).fit(X)
        assert len(fitted.calibration_.scores) == 8 * (rows // 10)
        x = torch.from_numpy(new)
        with torch.no_grad():
            distances = [flow.signed_distance(x).numpy() for flow in fitted.flows_]
        of_a_flow.append((np.stack(distances) <= -fitted.offset_).mean())
        of_the_mean.append((fitted.predict(new) == 1).mean())
    # A first layer that knew the rows would leave half of the new ones outside in 150 dimensions.
    assert np.mean(of_a_flow) == pytest.approx(0.8, abs=0.06)
    # The mean spreads less than the single scores that calibrate it: it errs to the inside.
    assert 0.74 < np.mean(of_the_mean) < 0.92


def test_false_discovery_rate_is_held_and_outliers_are_found(restored, scored):
    inliers, outliers = scored
    scores = restored.signed_distance(inliers)
    rng = np.random.default_rng(3)
    false, power = [], []
    for _ in range(200):
        drawn = rng.permutation(len(inliers))
        restored.calibration_ = Calibration.of(scores[drawn[:500]], held_out=True)
        rows = np.concatenate([inliers[drawn[500:590]], rng.choice(outliers, 10)])
        found = restored.discoveries(rows, fdr=0.2)
        assert found.dtype == bool
        false.append(found[:90].sum() / max(found.sum(), 1))
        power.append(found[90:].mean())
    error = np.std(false) / np.sqrt(200)
    assert np.mean(false) <= 0.2 + 2 * error
    assert np.mean(power) > 0.5


def test_set_boundary_moves_the_decision_alone(restored, scored):
    inliers, _ = scored
    distance = restored.signed_distance(inliers)
    assert restored.set_boundary(0.5) is restored
    half = restored.predict(inliers)
    assert (half == 1).mean() == pytest.approx(0.5, abs=0.05)
    restored.set_boundary(false_positive_rate=0.5)
    np.testing.assert_array_equal(restored.predict(inliers), half)
    restored.set_boundary("natural")
    np.testing.assert_array_equal(restored.predict(inliers) == 1, distance <= 0)
    np.testing.assert_array_equal(restored.signed_distance(inliers), distance)
    assert restored.boundary == "natural"


def test_set_boundary_agrees_with_a_fit_at_that_level(restored):
    X = np.random.default_rng(0).normal(size=(1000, FEATURES))
    refit = compactflow.build(**restored.get_params() | {"boundary": 0.8}).fit(X)
    assert restored.set_boundary(level=0.8).offset_ == refit.offset_


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
    offset = detector.offset_
    with pytest.raises(ValueError, match=word):
        detector.set_boundary(**arguments)
    assert detector.offset_ == offset


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
    assert loaded.offset_ == restored.offset_
    assert loaded.set_boundary(0.9).offset_ == restored.set_boundary(0.9).offset_
