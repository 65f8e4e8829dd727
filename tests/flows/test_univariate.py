"""The score of columns, one by one: distances, units, known values and what they change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compactflow
from compactflow.flows.nearness import Nearness
from compactflow.flows.univariate import Univariate, side_by_side


def _fitted(rows: np.ndarray, more: int = 0) -> Univariate:
    columns = Univariate(rows.shape[1], len(rows), more).double()
    columns.fit(torch.from_numpy(rows))
    return columns


def _term(
    columns: Univariate, known: np.ndarray, asked: np.ndarray, k: int, own: int
) -> np.ndarray:
    """The unscaled term of rows by the definition, with sorted distances."""
    near = np.sort(np.abs(asked[:, None] - known[None]), axis=1)[:, min(k + own, len(known)) - 1]
    usual = columns.usual[columns.counts.index(k)].numpy() * columns.unit.numpy()
    return np.linalg.norm(np.log1p(near / usual), axis=1)


@pytest.mark.parametrize("more", [0, 3])
def test_the_score_is_that_of_its_definition(more):
    rng = np.random.default_rng(0)
    known = np.c_[rng.normal(size=50), rng.integers(0, 4, 50), rng.lognormal(size=50)]
    asked = np.r_[known[:5], rng.normal(scale=3, size=(20, 3)), [[1e3, -1e3, 0.0]]]
    columns = _fitted(known, more)
    expected = []
    for t, k in enumerate(columns.counts):
        own = _term(columns, known, known, k, own=1)
        middle = np.sort(own)[(len(own) - 1) // 2]
        outer = max(np.quantile(own, 0.95) - middle, 0.1)
        assert columns.middle[t] == pytest.approx(middle, rel=1e-4)
        expected.append((_term(columns, known, asked, k, own=0) - middle) / outer)
    found = columns(torch.from_numpy(asked))
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-3, atol=1e-4)


def test_a_known_value_is_at_no_distance_however_far_the_column_lies():
    known = 1e9 + np.arange(20.0)[:, None]
    score = _fitted(known)(torch.tensor([[1e9 + 7], [1e9 + 7.5]], dtype=torch.float64))
    assert score[0] < score[1]


def test_known_values_are_of_single_precision_as_a_model_file_keeps_them():
    rows = _fitted(np.array([[0.1], [1 / 3], [0.7]])).rows
    assert torch.equal(rows.float().double(), rows)


def test_few_values_of_a_column_set_no_unit():
    rows = np.random.default_rng(0).normal(size=(200, 1))
    wild = np.r_[rows[:-1], [[1e308]]]
    asked = torch.from_numpy(np.r_[rows[:5], [[9.0], [1e300], [-1e308]]])
    score = _fitted(wild)(asked)
    assert score.isfinite().all()
    torch.testing.assert_close(score[:6], _fitted(rows)(asked)[:6], rtol=0.2, atol=0.2)


def test_members_side_by_side_score_as_each_alone():
    rng = np.random.default_rng(0)
    members = [_fitted(rng.normal(size=(30, 2))) for _ in range(3)]
    x = torch.from_numpy(rng.normal(scale=2, size=(7, 2)))
    alone = torch.stack([member(x) for member in members])
    torch.testing.assert_close(side_by_side(members)(x), alone)


def test_later_rows_become_known_and_the_earliest_are_forgotten(monkeypatch):
    monkeypatch.setattr("compactflow.flows.univariate._ROWS", 20)
    columns = _fitted(np.arange(20.0)[:, None])
    at = torch.tensor([[0.0], [40.0]], dtype=torch.float64)
    before = columns(at)
    columns.extend(torch.full((10, 1), 40.0, dtype=torch.float64))
    after = columns(at)
    assert len(columns.rows) == 20
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_a_value_that_a_column_never_takes_makes_an_outlier():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(400, 2)), rng.integers(0, 6, 400)]
    detector = compactflow.build(max_steps=5, random_state=0).fit(X)
    between = X[:50] + np.array([0, 0, 0.5])
    assert (detector.predict(between) == -1).mean() > 0.9
    assert (detector.predict(X[:50]) == -1).mean() < 0.2


def test_of_wide_tables_columns_count_less_and_fewer_values_are_known():
    shares = [float(Nearness(dim).share) for dim in (2, 16, 64)]
    assert shares == pytest.approx([0.25, 0.25, 0.0625])
    assert [Univariate.known(9999, dim) for dim in (2, 32, 64, 9999)] == [4096, 4096, 1024, 16]


def test_many_rows_at_once_score_as_one_by_one():
    rng = np.random.default_rng(0)
    known = np.c_[rng.normal(size=300), rng.integers(0, 4, 300), rng.lognormal(size=300)]
    members = [_fitted(known[:290]), _fitted(known[10:])]
    asked = torch.from_numpy(np.r_[known, 3 * rng.normal(size=(700, 3)), [[1e300, -1e300, 0.0]]])
    score = side_by_side(members)
    one_by_one = torch.cat([score(row) for row in asked.split(1)], dim=1)
    torch.testing.assert_close(score(asked), one_by_one, rtol=1e-6, atol=1e-6)
