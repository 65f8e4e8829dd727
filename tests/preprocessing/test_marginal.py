"""Columns of wide tables that share a unit."""

import numpy as np
import pytest
import torch

from compactflow.preprocessing.marginal import Marginal

RNG = np.random.default_rng(0)
SIZES = np.geomspace(0.1, 10, 64)
ALIKE = RNG.normal(size=(300, 64)) * SIZES


def spreads(X: np.ndarray, member: int = 2) -> np.ndarray:
    """Deviations of the rows behind a first layer; the third one leaves all correlations in."""
    layer = Marginal(X.shape[1])
    layer.fit(X, member=member)
    return layer(torch.from_numpy(X)).std(dim=0).numpy()


def test_wide_columns_that_are_alike_keep_their_sizes():
    found = spreads(ALIKE)
    np.testing.assert_allclose(found / found[0], ALIKE.std(axis=0) / ALIKE[:, 0].std(), rtol=1e-6)
    np.testing.assert_allclose(np.square(found).mean(), 1, rtol=0.01)


def test_their_unit_does_not_matter():
    np.testing.assert_allclose(spreads(1e6 * ALIKE + 1e7), spreads(ALIKE), rtol=1e-4)


def test_few_columns_and_columns_of_other_kinds_are_standardised():
    for X in (ALIKE[:, ::2], ALIKE * np.geomspace(1, 1e8, 64)):
        np.testing.assert_allclose(spreads(X), 1, rtol=0.01)


@pytest.mark.parametrize(("rows", "value"), [(slice(7, 8), 1e12), (slice(None, None, 30), 1e5)])
def test_wild_values_do_not_drown_the_other_columns(rows, value):
    X = ALIKE.copy()
    X[rows, 3] = value
    others = np.arange(64) != 3
    found = spreads(X)[others]
    assert (found > spreads(ALIKE)[others] / 4).all()
    np.testing.assert_allclose(found / found[0], spreads(ALIKE)[others] / spreads(ALIKE)[0])


def test_a_constant_column_counts_in_the_unit_of_the_others():
    X = ALIKE.copy()
    X[:, 5] = 3.0
    layer = Marginal(64)
    layer.fit(X, member=2)
    x = torch.from_numpy(X[:1].repeat(3, axis=0))
    x[1, 5] += 1.0
    x[2, 40] += 1.0
    moved = (layer(x) - layer(x)[0]).norm(dim=1)
    assert 0.2 < moved[1] / moved[2] < 5


def test_a_step_beyond_the_data_is_as_long_as_one_inside():
    layer = Marginal(64)
    layer.fit(ALIKE, member=2)
    for j in (0, 40, 63):
        edge, step = ALIKE[:, j].max(), 1e-3 * ALIKE[:, j].std()
        x = torch.from_numpy(ALIKE[:1].repeat(4, axis=0))
        x[:, j] = torch.tensor([edge, edge + step, 0.0, step])
        y = layer(x)
        np.testing.assert_allclose((y[1] - y[0]).norm(), (y[3] - y[2]).norm(), rtol=0.5)


def test_alike_columns_round_trip():
    for member in range(4):
        layer = Marginal(64)
        layer.fit(ALIKE, member=member)
        x = torch.from_numpy(np.concatenate([ALIKE, 50 * ALIKE]))
        torch.testing.assert_close(layer.inverse(layer(x)), x, rtol=1e-9, atol=1e-9)
