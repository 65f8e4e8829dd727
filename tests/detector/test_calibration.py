import re

import numpy as np
import pytest
import torch

import compactflow
from compactflow.detector.calibration import Calibration, CalibrationWarning


def test_p_values_by_hand():
    calibration = Calibration.of(np.array([3.0, 1.0, 2.0, 2.0]), held_out=True)
    p = calibration.p_values(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(p, np.array([5, 5, 4, 4, 2, 1]) / 5)


def test_p_values_need_held_out_rows():
    calibration = Calibration.of(np.arange(4.0), held_out=False)
    with pytest.raises(ValueError, match="validation_fraction"):
        calibration.p_values(np.zeros(1))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_threshold_keeps_its_level_on_average(level):
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        calibration = Calibration.of(rng.normal(size=40), held_out=True)
        inside.append(rng.normal() <= calibration.threshold(level))
    assert level - 0.02 < np.mean(inside) < level + 1 / 41 + 0.02


def test_too_few_rows_put_the_threshold_at_the_largest_score():
    calibration = Calibration.of(np.arange(5.0), held_out=True)
    assert calibration.threshold(0.99) == pytest.approx(4)
    assert calibration.threshold("natural") == 0


@pytest.mark.parametrize(
    ("rows", "boundary", "word"),
    [
        (19, 0.95, None),
        (18, 0.95, r"0\.95 takes 19 held-out rows and there are 18.*94\.7%"),
        (20, 0.999, r"takes 999 held-out rows and there are 20.*95\.2%"),
        (999, 0.999, None),
        (1, "natural", None),
    ],
)
def test_a_level_that_the_rows_cannot_keep_is_told(rows, boundary, word):
    calibration = Calibration.of(np.arange(float(rows)), held_out=True)
    caveat = calibration.caveat(boundary)
    assert (caveat is None) == (word is None)
    if word:
        with pytest.warns(CalibrationWarning, match=word):
            calibration.warn(boundary)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bounds_hold_the_share_of_new_inliers(level):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(1000):
        calibration = Calibration.of(rng.uniform(size=60), held_out=True)
        threshold = calibration.threshold(level)  # which is the share inside, of uniform scores
        low, high = calibration.bounds(threshold)
        held.append(low <= threshold <= high)
    assert 0.88 < np.mean(held) < 0.97


def test_bounds_at_the_ends():
    calibration = Calibration.of(np.arange(9.0), held_out=True)
    assert calibration.bounds(-1) == (0, pytest.approx(1 - 0.05 ** (1 / 9)))
    assert calibration.bounds(8) == (pytest.approx(0.05 ** (1 / 9)), 1)
    assert Calibration.of(np.arange(9.0), held_out=False).bounds(3) is None


def test_without_held_out_rows_a_level_is_doubtful_and_the_words_say_so():
    calibration = Calibration.of(np.arange(4.0), held_out=False)
    with pytest.warns(CalibrationWarning, match="none were held out"):
        calibration.warn(0.5)
    words = calibration.describe(calibration.threshold(0.5))
    assert words == "75.0% of 4 training rows are inside, as none were held out"
    held_out = Calibration.of(np.arange(4.0), held_out=True)
    assert held_out.describe(10) == "100.0% of 4 held-out rows are inside"


def test_ties_are_ties_whatever_the_rounding():
    calibration = Calibration.of(np.array([0.3, 0.3, 0.3, 1e6]), held_out=True)
    noise = 1e-12 * np.linspace(-1, 1, 9)
    np.testing.assert_array_equal(calibration.p_values(0.3 + noise), np.full(9, 1.0))
    np.testing.assert_array_equal(calibration.p_values(1e6 * (1 + noise)), np.full(9, 0.4))
    assert calibration.p_values(np.array([0.3 + 1e-6])) == 0.4
    assert calibration.p_values(np.array([0.3 + 1e-6]), rounding=1e-4) == 1


@pytest.mark.parametrize(
    ("p", "fdr", "rows", "word"),
    [
        ([0.1, 1, 1], 0.3, 9, None),  # found: its p is fdr / 3, up to rounding
        ([0.5, 1, 1], 0.3, 9, None),  # not found, but one could be
        ([1 / 21] * 4, 0.01, 20, r"any of 4 rows with 20 held-out rows; finding one takes 399"),
        ([1 / 10, 1, 1, 1], 0.2, 9, r"fewer than 2 of 4 rows.*takes 19"),
    ],
)
def test_discoveries_that_few_rows_cannot_make_are_told(p, fdr, rows, word, recwarn):
    calibration = Calibration.of(np.arange(float(rows)), held_out=True)
    found = calibration.discoveries(np.array(p), fdr)
    assert found.any() == (p[0] == 0.1 and word is None)
    told = [str(each.message) for each in recwarn]
    assert len(told) == (word is not None)
    assert word is None or re.search(word, told[0])


def test_ties_are_ties_in_any_batch_and_precision():
    X = np.random.default_rng(0).integers(2, size=(200, 1)) * np.ones((1, 3))
    detector = compactflow.build(
        members=1, max_steps=3, random_state=0, backbone_options={"blocks": 2}
    ).fit(X)
    ensemble = detector.ensemble_
    quick = ensemble.in_precision(torch.float32)
    distance, scores = ensemble.signed_distance(X) + ensemble.level, detector.calibration_.scores
    for rows in (X, X[:20], X[:1]):
        p = detector.calibration_.p_values(
            ensemble.signed_distance(rows) + ensemble.level, rounding=ensemble.rounding
        )
        again = detector.calibration_.p_values(
            quick.signed_distance(rows) + quick.level, rounding=quick.rounding
        )
        np.testing.assert_array_equal(p, again)
        np.testing.assert_array_equal(p, detector.p_values(rows))
        counts = [(scores >= score - 1e-6).sum() for score in distance[: len(rows)]]
        np.testing.assert_allclose(p, (1 + np.array(counts)) / (len(scores) + 1))


def test_the_highest_scores_go_with_a_share_of_outliers():
    calibration = Calibration.of(np.arange(10.0), held_out=True)
    assert calibration.without(0.2).scores.tolist() == list(range(8))
    assert calibration.without(0.3).scores.tolist() == list(range(7))
    assert calibration.without(0.0).scores.tolist() == list(range(10))
