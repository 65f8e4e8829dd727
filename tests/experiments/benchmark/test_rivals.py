import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from compactflow.experiments.benchmark import detectors, peers, rivals


def test_peers_are_scaled_on_the_training_rows_only():
    train = np.random.default_rng(0).normal(size=(50, 2))
    score = detectors.load("KNN")(train, 0).score
    rows = np.array([[0.5, 0.5], [1e6, 0.0]])
    assert score(rows)[0] == score(rows[:1])[0]
    assert score(rows * [1, 0])[1] == pytest.approx(1e6 / train[:, 0].std(), rel=1e-3)


def test_a_first_layer_goes_in_front_of_a_peer_in_place_of_standardised_columns():
    train = np.random.default_rng(0).normal(size=(50, 2)) * [100.0, 1.0]
    rows = np.array([[50.0, 0.5], [0.0, -0.5]])
    expected = np.linalg.norm(rows[:, None] - train, axis=2).min(axis=1)
    assert detectors.load("KNN1@none")(train, 0).score(rows) == pytest.approx(expected)
    assert detectors.load("KNN1")(train, 0).score(rows) != pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("name", "value"), [("KNN1", 1.0), ("KNN", 5.0), ("DTE-NP", 3.0)])
def test_neighbours_are_summed_up_as_the_name_says(name, value):
    train = np.arange(-9.0, 1.0)[:, None]
    assert peers.PEERS[name](train, 0)(np.array([[1.0]])) == pytest.approx(value)


def test_the_quarter_density_has_a_quarter_of_silvermans_width():
    score = peers.PEERS["KDE/4"](np.zeros((32, 1)), 0)
    width = 0.25 * 32 ** (-1 / 5)
    near, far = score(np.array([[0.0], [width]]))
    assert far - near == pytest.approx(0.5)


@pytest.mark.parametrize(("name", "width"), [("KDE", 1.0), ("KDE/4", 0.25 * 300 ** (-1 / 34))])
def test_kernel_densities_are_right_where_they_are_tiny(name, width):
    train, rows = np.split(np.random.default_rng(0).normal(size=(400, 30)), [300])
    exact = logsumexp(-cdist(rows, train, "sqeuclidean") / (2 * width**2), axis=1)
    score = peers.PEERS[name](train, 0)(rows)
    assert np.ptp(score + exact) < 1e-6


@pytest.mark.parametrize("name", ["DTE-C", "TCCM"])
def test_rivals_keep_the_callers_generator_and_their_seed(name, monkeypatch):
    monkeypatch.setattr(rivals, "_STEPS", 2)
    train, state = np.random.default_rng(0).normal(size=(20, 2)), torch.get_rng_state()
    first, again, other = (detectors.load(name)(train, seed).score(train) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
