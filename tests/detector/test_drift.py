import copy

import numpy as np
import pytest

import compactflow
from compactflow.detector.calibration import CalibrationWarning
from compactflow.detector.drift import Martingale, Ranks


def ever(alpha, *, shift=0.0, scale=1.0, known=50, rows=400, seed=0):
    """Whether a stream of normal scores raises an alarm against so many known ones."""
    rng = np.random.default_rng(seed)
    p = Ranks(rng.normal(size=known), seed=seed).add(shift + scale * rng.normal(size=rows))
    return Martingale().add(p).ever(alpha)


@pytest.mark.parametrize("before", [[], [0.001] * 5, [0.9] * 5, [0.2, 0.2]])
def test_the_bet_is_fair_whatever_was_before(before):
    stake = np.exp(Martingale().add(before).log_value)
    u = (np.arange(4000) + 0.5) / 4000  # p = u⁴, so that the tiny ones are where many points are
    stakes = np.array([np.exp(Martingale().add([*before, p]).log_value) for p in u**4])
    assert (stakes * 4 * u**3).mean() == pytest.approx(stake, rel=1e-3)


def test_false_alarms_keep_the_bound_with_few_known_scores():
    alarms = np.mean([ever(0.2, seed=seed) for seed in range(200)])
    assert 0 < alarms < 0.2 + 2 * np.sqrt(0.2 * 0.8 / 200)


def test_ranks_are_uniform_and_independent_though_only_three_scores_are_known():
    rng = np.random.default_rng(0)
    p = np.array([Ranks(rng.normal(size=3), seed=s).add(rng.normal(size=4)) for s in range(4000)])
    assert np.abs(np.sort(p, axis=0) - np.linspace(0, 1, 4000)[:, None]).max() < 0.035
    assert np.abs(np.corrcoef(p.T) - np.eye(4)).max() < 0.06


def test_ties_are_settled_by_chance():
    p = Ranks(np.zeros(9)).add(np.zeros(2000))
    assert p.min() > 0
    assert p.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("change", [{"shift": 2.0}, {"shift": -2.0}, {"scale": 4.0}])
def test_a_change_is_seen(change):
    assert all(ever(0.001, known=1000, seed=seed, **change) for seed in range(5))


def test_memory_stays_and_order_matters_not_to_what_is_known():
    ranks = Ranks(np.arange(20.0))
    ranks.add(np.random.default_rng(0).normal(size=300))
    assert len(ranks._known) == 20
    assert ranks._known == sorted(ranks._known)


def test_a_calm_of_any_length_is_made_up_for():
    martingale = Martingale().add(1 - np.random.default_rng(0).random(4000))
    assert not martingale.ever(0.01)
    assert martingale.log_value >= -np.log(4001)
    assert martingale.add([0.01] * 12).ever(0.01)


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, np.nan])
def test_what_is_no_p_value_is_refused(p):
    martingale = Martingale()
    with pytest.raises(ValueError, match=r"p-values must be in \(0, 1\], got"):
        martingale.add([0.5, p])
    assert martingale.count == 1


def test_a_detector_watches_whatever_its_boundary():
    X = np.random.default_rng(0).normal(size=(300, 2))
    detector = compactflow.build(max_steps=5, members=1, random_state=0).fit(X)
    moved = copy.deepcopy(detector).set_boundary(0.5)
    watches = [each.monitor().add(X[:99] + 1) for each in (detector, moved)]
    assert watches[0].martingale.log_value == watches[1].martingale.log_value
    assert watches[0].martingale.count == 99


def test_a_watch_needs_held_out_rows():
    X = np.random.default_rng(0).normal(size=(30, 2))
    detector = compactflow.build(
        max_steps=1, members=1, validation_fraction=0, boundary=0.9, random_state=0
    )
    with pytest.warns(CalibrationWarning):
        detector.fit(X)
    with pytest.raises(ValueError, match="watches need inliers that were held out"):
        detector.monitor()
