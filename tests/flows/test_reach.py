"""Rows of any size have finite scores, and of two the further one has the higher."""

import warnings

import numpy as np
import pytest
import torch

import compactflow
from compactflow.flows.reach import draw_in, draw_out, log_slope

SIZES = 10.0 ** np.array([3, 9, 20, 38, 39, 77, 100, 154, 155, 200, 300, 308])
WAYS = {
    "default": {},
    "support": {"score_by": "support"},
    "ball": {"latent": "ball", "score_by": "support"},
    "gaussian": {"latent": "gaussian", "score_by": "support"},
    "paper": {"preset": "paper", "backbone_options": {"blocks": 2, "width": 8}},
    "whiten": {"preprocessing": "whiten"},
    "none": {"preprocessing": "none", "latent": "ball"},
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(60, 2)) * [1, 100]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("way", WAYS)
def test_scores_of_any_row_are_finite_and_in_order(way, dtype, X):
    options = {"backbone_options": {"blocks": 2, "width": 8}} | WAYS[way]
    detector = compactflow.build(members=1, max_steps=1, random_state=0, **options).fit(X)
    ensemble = detector.ensemble_.in_precision(dtype)
    for direction in ([1, 0], [0, -1], [-1, 1]):
        rows = SIZES[:, None] * np.array(direction)
        scores, densities = ensemble.signed_distance(rows), ensemble.log_density(rows)
        assert np.isfinite([scores, densities]).all()
        assert (np.diff(scores) >= 0).all()
        assert scores[0] < scores[5] < scores[-2]
        assert (np.diff(densities) <= 0).all()
        assert densities[0] > densities[5] > densities[-2]


def test_far_rows_decode_to_themselves(X):
    detector = compactflow.build(members=1, max_steps=1, preprocessing="standardise")
    detector.fit(X)
    far = np.array([[1e5, 3.0], [1e12, -1e15], [-1e200, 1e202]])
    with warnings.catch_warnings(action="ignore"):
        decoded = detector.inverse_transform(detector.transform(far))
    np.testing.assert_allclose(decoded, far, rtol=1e-9, atol=1e-3)


def test_rows_within_reach_stay_bit_for_bit_and_others_keep_direction_and_order():
    near = torch.tensor([[0.0, -1.5], [1e9, 3.0]], dtype=torch.float64)
    assert torch.equal(draw_in(near), near)
    sizes = torch.tensor([[1e9], [1.000001e9], [1e10], [1e300]], dtype=torch.float64)
    y = sizes * torch.tensor([[-1.0, 0.3]], dtype=torch.float64)
    drawn = draw_in(y)
    assert (drawn[:, 0].diff() < 0).all()
    assert drawn.abs().max() < 1e12
    torch.testing.assert_close(drawn[:, 1] / drawn[:, 0], y[:, 1] / y[:, 0])
    torch.testing.assert_close(draw_out(drawn), y)


def test_the_slope_is_autograds():
    y = torch.tensor([2.0, -3e9, 1e12], dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda y: draw_in(y[None])[0])(y)
    torch.testing.assert_close(log_slope(y[None])[0], torch.linalg.slogdet(jacobian).logabsdet)
