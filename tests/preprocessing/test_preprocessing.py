"""First layers: bijections whose units a few wild values do not move."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow.plugins import registry
from compactflow.preprocessing.base import Preprocessing, fence
from compactflow.preprocessing.decorrelation import Decorrelation
from compactflow.preprocessing.marginal import Marginal

NAMES = [
    row.name
    for row in registry.available("preprocessing")
    if row.spec is not None and row.name != "chain"  # which is made of them
]
VIEWS = [(name, member) for name in NAMES for member in (0, 1)]


def fitted(name, X, member=0, **options) -> Preprocessing:
    layer = registry.load("preprocessing", name)(X.shape[1], **options)
    layer.fit(X, member=member)
    return layer


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(5, 5)) * [1e-3, 1, 1, 10, 1e4]
    return rng.normal(size=(500, 5)) @ mixing + [0, 1e6, 0, -3, 5]


@pytest.fixture
def table():
    """Columns as tables have them: counts, codes, zeros, heavy tails, a large offset."""
    rng = np.random.default_rng(1)
    rare = (rng.random(400) < 0.005) * rng.random(400)
    columns = [
        rng.poisson(1, 400),
        np.exp(2 * rng.normal(size=400)),
        rare,
        rng.integers(0, 2, 400),
        1e9 + rng.normal(size=400),
    ]
    return np.stack(columns, axis=1).astype(float)


@pytest.mark.parametrize(("name", "member"), VIEWS)
@pytest.mark.parametrize("rows", ["X", "table"])
def test_inverse_undoes_forward_even_far_away(rows, name, member, request):
    data = request.getfixturevalue(rows)
    layer = fitted(name, data, member)
    for scale in (1, 1e3, 1e6):
        x = torch.from_numpy(scale * data)
        error = (layer.inverse(layer(x)) - x).abs().amax(0) / x.abs().amax(0)
        assert error.max() < 1e-9


@pytest.mark.parametrize(("name", "member"), VIEWS)
@pytest.mark.parametrize("rows", ["X", "table"])
def test_log_abs_det_is_autograds(rows, name, member, request):
    data = request.getfixturevalue(rows)
    layer = fitted(name, data, member)
    # Off the knots, where a slope has two values; with a far row.
    x = torch.from_numpy(np.concatenate([data[:4] + 1e-3 * data.std(axis=0), 9 * data[:1] + 1]))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: layer(row[None])[0]))(x)
    torch.testing.assert_close(layer.log_abs_det(x), torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize(("name", "member"), VIEWS)
def test_a_fresh_layer_takes_the_saved_state(table, name, member):
    layer, other = fitted(name, table, member), registry.load("preprocessing", name)(5)
    other.load_state_dict(layer.state_dict())
    x = torch.from_numpy(table[:9])
    assert torch.equal(layer(x), other(x))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "enclose"])  # one unit for all
def test_constant_column_counts_deviations_in_its_own_units(X, name):
    X[:, 1] = 1e6
    layer = fitted(name, X)
    x = torch.from_numpy(X[:2].copy())
    before = layer(x)
    assert before.isfinite().all()
    x[1, 1] += 3
    moved = (layer(x) - before).norm(dim=1)[1]
    assert 0.5 < moved < 10


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_all_equal_leave_finite_scores(name):
    """A deviation of 1 is about 1, and not 1e157."""
    layer = fitted(name, np.full((50, 3), 7.0))
    y = layer(torch.tensor([[7.0, 7.0, 7.0], [8.0, 7.0, 7.0]], dtype=torch.float64))
    assert 0.3 < (y[1] - y[0]).norm() < 3


@pytest.mark.parametrize("name", sorted({*NAMES} - {"none"}))
@pytest.mark.parametrize("wild", [1e3, 1e6, -1e12])
def test_one_wild_value_does_not_make_a_column_blind(name, wild):
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(200, 4))
    dirty = clean.copy()
    dirty[7, 2] = wild
    far = np.zeros((1, 4))
    far[0, 2] = 20.0
    rows = torch.from_numpy(np.concatenate([clean[:100], far]))
    for data in (clean, dirty):
        y = fitted(name, data)(rows)
        # The outlier of 20 standard deviations is further out than any inlier.
        assert y[-1].norm() > 1.2 * y[:-1].norm(dim=1).max()


def test_the_fence_leaves_rare_values_and_ordinary_tails_alone(table):
    rare = table[:, [2]]
    assert np.array_equal(fence(rare), rare)
    normal = np.random.default_rng(0).normal(size=(1000, 1))
    assert np.array_equal(fence(normal), normal)
    normal[3] = 1e9
    assert fence(normal).max() < 30


@pytest.mark.parametrize("member", [0, 1])
def test_marginal_rises_strictly_and_goes_on_rising(table, member):
    layer = fitted("marginal", table, member)
    for j, column in enumerate(table.T):
        values = np.unique([*column, *(column.max() + 10.0 ** np.arange(-2, 12))])
        rows = np.repeat(table[:1], len(values), axis=0)
        rows[:, j] = values
        mapped = layer._columns(torch.from_numpy(rows))[:, j]
        assert (mapped.diff() > 0).all()


def test_marginal_gives_a_heavy_tail_a_normal_shape(table):
    """By its normal scores, with the default weight; every second flow sees the plain values."""
    tail = table[:, [1]]
    normal, plain = fitted("marginal", tail), fitted("marginal", tail, member=1)
    x = torch.from_numpy(tail)
    kurtosis = [float(layer._columns(x).pow(4).mean()) for layer in (normal, plain)]
    assert kurtosis[0] < 6 < 15 < kurtosis[1]
    for layer in (normal, plain):
        columns = layer._columns(x)
        assert columns.mean().abs() < 1e-9
        assert float(columns.std(correction=0)) == pytest.approx(1)


def test_ties_share_a_height_in_the_middle_of_their_ranks():
    column = np.array([[0.0]] * 50 + [[1.0]] * 30 + [[2.0]] * 20)
    layer = fitted("marginal", column, light=0.999)
    heights = layer._columns(torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)).flatten()
    from scipy.stats import norm

    expected = norm.ppf([0.25, 0.65, 0.90])
    ratio = (heights[2] - heights[1]) / (heights[1] - heights[0])
    assert ratio == pytest.approx(np.diff(expected)[1] / np.diff(expected)[0], rel=2e-2)


def test_decorrelation_halves_the_correlation():
    rng = np.random.default_rng(0)
    a = rng.normal(size=100_000)
    columns = np.stack([a, 0.8 * a + 0.6 * rng.normal(size=100_000)], 1)
    layer = Decorrelation(2)
    layer.fit(columns)
    y = layer(torch.from_numpy(columns)).numpy()
    # W C W with W = ((C + 1)/2)^(-1/2) has the eigenvalues λ / ((λ + 1)/2).
    expected = np.array([0.2 / 0.6, 1.8 / 1.4])
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(y.T)), expected, atol=0.02)


def test_decorrelation_of_many_columns_keeps_few_axes_and_inverts():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 400)) + rng.normal(size=(60, 400))
    columns = (columns - columns.mean(0)) / columns.std(0)
    layer = Decorrelation(400)
    layer.fit(columns)
    assert layer.axes.shape == (400, 256)
    x = torch.from_numpy(columns)
    torch.testing.assert_close(layer.inverse(layer(x)), x, rtol=0, atol=1e-10)
    whole = layer(torch.eye(400, dtype=torch.float64) + layer.mean)
    torch.testing.assert_close(torch.linalg.slogdet(whole)[1], layer.log_abs_det())


@pytest.mark.parametrize("options", [{"light": 1.0}, {"heavy": -0.1}, {"knots": 1}])
def test_marginal_refuses_options_out_of_range(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Marginal(2, **options)


def test_a_layer_of_ones_own_goes_into_a_detector_and_parameters_are_refused():
    X = np.random.default_rng(0).normal(size=(60, 2))
    detector = compactflow.build(
        preprocessing=Marginal, max_steps=1, members=2, random_state=0
    ).fit(X)
    assert isinstance(detector.ensemble_.layers[0], Marginal)
    layer = Marginal(2)
    layer.gain = torch.nn.Parameter(torch.ones(()))
    with pytest.raises(ValueError, match="never train"):
        compactflow.build(preprocessing=layer, max_steps=1).fit(X)


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="preprocessing"):
        compactflow.build(preprocessing="pca")
