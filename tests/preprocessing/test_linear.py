"""First layers that scale, bend and decorrelate."""

import numpy as np
import pytest
import torch

from compactflow.preprocessing.linear import Enclose, HalfWhiten, Standardise, Whiten


def fit(kind, X):
    layer = kind(X.shape[1])
    layer.fit(X)
    return layer


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5)) * [1e-3, 1, 1, 10, 1e4]
    return rng.normal(size=(500, 5)) @ mixing + [0, 1e6, 0, -3, 5]


def test_standardise_gives_unit_columns(X):
    y = fit(Standardise, X)(torch.from_numpy(X))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(0, correction=0), 1)


def test_whiten_decorrelates_and_ignores_units(X):
    y = fit(Whiten, X)(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(np.cov(y.T), np.eye(5), atol=0.2)
    units = np.array([1e-6, 1, 1e3, 7, 1e9])
    other = fit(Whiten, X * units)(torch.from_numpy(X * units)).numpy()
    np.testing.assert_allclose(y, other, rtol=1e-6, atol=1e-6)


def test_half_whiten_whitens_data_of_half_the_covariances(X):
    """Seen from the model: a matrix W with W C W = 1, for C with its covariances halved."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=100_000)
    b = 0.8 * a + 0.6 * rng.normal(size=100_000)
    y = fit(HalfWhiten, 1e-3 * np.stack([a, b], 1))
    halved = np.array([[1, 0.4], [0.4, 1]])
    variance, axes = np.linalg.eigh(halved)
    expected = (axes / np.sqrt(variance)) @ axes.T
    np.testing.assert_allclose(y.matrix / y.matrix[0, 0], expected / expected[0, 0], atol=0.02)


def test_far_values_keep_their_order(X):
    layer = fit(Whiten, X)
    x = torch.zeros(5, 5).double()
    x[:, 0] = torch.tensor([1e1, 1e3, 1e6, 1e100, 1e300], dtype=torch.float64)
    norms = layer(x).norm(dim=1)
    assert norms.isfinite().all()
    assert (norms.diff() > 0).all()


@pytest.mark.parametrize("dim", [1, 2, 128])
def test_enclosed_rows_lie_inside_the_cube_after_any_rotation(dim):
    rng = np.random.default_rng(0)
    train, new = (7 + rng.normal(size=(2000, dim)) * 1e-3 for _ in range(2))
    train[0] = 1e9  # a wild row does not make the others small
    layer = fit(Enclose, train)
    rotation = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    largest = np.abs(layer(torch.from_numpy(new)).numpy() @ rotation).max(axis=1)
    assert 0.9 < (largest <= 1).mean() <= 1
    assert np.quantile(largest, 0.95) > 0.7
    assert len(layer.scale.unique()) == 1
