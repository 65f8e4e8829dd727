import numpy as np
import pytest
import torch

from compactflow.preprocessing import Preprocessing
from compactflow.training.stack import stack_modules

METHODS = ["half-whiten", "whiten", "standardise", "none"]


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5)) * [1e-3, 1, 1, 10, 1e4]
    return rng.normal(size=(500, 5)) @ mixing + [0, 1e6, 0, -3, 5]


@pytest.mark.parametrize("method", METHODS)
def test_inverse_undoes_forward_even_far_away(X, method):
    layer = Preprocessing.fit(X, method)
    for scale in (1, 1e6):
        x = torch.from_numpy(scale * X)
        error = (layer.inverse(layer(x)) - x).abs().amax(0) / x.abs().amax(0)
        assert error.max() < 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_log_abs_det_is_autograds(X, method):
    layer = Preprocessing.fit(X, method)
    x = torch.from_numpy(X[:4])
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: layer(row[None])[0]))(x)
    torch.testing.assert_close(layer.log_abs_det(x), torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("members", [1, 3])
def test_a_stack_takes_rows_in_turn(X, method, members):
    layers = [Preprocessing.fit(X[m::members], method) for m in range(members)]
    stack = stack_modules(layers)
    assert stack.dim == 5
    x = torch.from_numpy(X[:30])
    y = stack(x)
    for m, layer in enumerate(layers):
        torch.testing.assert_close(y[m::members], layer(x[m::members]))


def test_standardise_gives_unit_columns(X):
    y = Preprocessing.fit(X, "standardise")(torch.from_numpy(X))
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(0, correction=0), 1)


def test_whiten_decorrelates_and_ignores_units(X):
    y = Preprocessing.fit(X, "whiten")(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(np.cov(y.T), np.eye(5), atol=0.2)
    units = np.array([1e-6, 1, 1e3, 7, 1e9])
    other = Preprocessing.fit(X * units, "whiten")(torch.from_numpy(X * units)).numpy()
    np.testing.assert_allclose(y, other, rtol=1e-6, atol=1e-6)


def test_half_whiten_whitens_data_of_half_the_covariances(X):
    """Seen from the model: a matrix W with W C W = 1, for C with its covariances halved."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=100_000)
    b = 0.8 * a + 0.6 * rng.normal(size=100_000)
    y = Preprocessing.fit(1e-3 * np.stack([a, b], 1), "half-whiten")
    halved = np.array([[1, 0.4], [0.4, 1]])
    variance, axes = np.linalg.eigh(halved)
    expected = (axes / np.sqrt(variance)) @ axes.T
    np.testing.assert_allclose(y.matrix / y.matrix[0, 0], expected / expected[0, 0], atol=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_constant_column_counts_deviations_in_its_own_units(X, method):
    X[:, 1] = 1e6
    layer = Preprocessing.fit(X, method)
    x = torch.from_numpy(X[:2].copy())
    before = layer(x)
    assert before.isfinite().all()
    x[1, 1] += 3
    assert (layer(x) - before).norm(dim=1)[1] > 0.5


def test_far_values_keep_their_order(X):
    layer = Preprocessing.fit(X, "whiten")
    x = torch.zeros(5, 5).double()
    x[:, 0] = torch.tensor([1e1, 1e3, 1e6, 1e100, 1e300], dtype=torch.float64)
    norms = layer(x).norm(dim=1)
    assert norms.isfinite().all()
    assert (norms.diff() > 0).all()


def test_unknown_method_is_refused(X):
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing.fit(X, "pca")
