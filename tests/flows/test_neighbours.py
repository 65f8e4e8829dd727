"""The terms of the score by neighbours."""

import pytest
import torch

from compactflow.flows.neighbours import Neighbours, terms

RNG = torch.Generator().manual_seed(0)


def fitted(rows, **options):
    known = Neighbours(rows.shape[1], len(rows), **options).double()
    known.fit(rows, torch.zeros_like)
    return known


def test_terms_are_means_of_the_nearest_and_a_ratio_to_the_spacing_around():
    near = torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64)
    first, second, ratio = terms(near, [1, 3], torch.full_like(near, 0.5), 0.1)[0]
    assert (first, second) == (0, 1)
    torch.testing.assert_close(ratio, torch.log(torch.tensor(1.1 / 0.6, dtype=torch.float64)))


def test_a_row_beside_a_dense_cluster_is_further_out_than_beside_a_thin_one():
    noise = torch.randn(200, 2, dtype=torch.float64, generator=RNG)
    known = fitted(torch.cat([0.01 * noise[:100], 5 + noise[100:]]))
    beside = known.rows[[0, 100]] + torch.tensor([0.0, 0.5])
    alike = terms(known._near(torch.cat([beside, 0 * beside], 1))[0], [5], None, 0.0)
    dense, thin = known(beside, torch.zeros_like(beside)) - known(known.rows[[0, 100]], 0 * beside)
    assert abs(float(alike[0] - alike[1])) < 0.4
    assert dense > thin


def test_nothing_jumps_where_another_row_takes_its_place():
    rows = torch.randn(60, 1, dtype=torch.float64, generator=RNG)
    known = fitted(rows)
    asked = torch.linspace(-4, 4, 20001, dtype=torch.float64)[:, None]
    score = known(asked, torch.zeros_like(asked))
    assert score.diff().abs().max() < 0.02


def test_more_rows_count_where_some_may_be_outliers():
    rows = torch.randn(80, 2, dtype=torch.float64, generator=RNG)
    clump = torch.full((8, 2), 6.0, dtype=torch.float64)
    few, many = (fitted(torch.cat([rows, clump]), more=more) for more in (0, 16))
    assert few(clump, 0 * clump).max() < many(clump, 0 * clump).min()
    assert many.nearest.tolist() == [17, 21, 36]


def test_latents_count_in_proportion_to_the_reference_rows():
    rows = torch.randn(800, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    few, many = (Neighbours(2, rows=n).double() for n in (200, 800))
    few.fit(rows[:200], lambda y: 7 * y)
    many.fit(rows, lambda y: 7 * y)
    sizes = [known.points[:, 2:].std() / known.points[:, :2].std() for known in (few, many)]
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=1e-3)
    assert sizes[1] == pytest.approx(800 / 4096, rel=1e-3)


def test_later_rows_change_the_spacing_of_earlier_ones():
    rows = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole, grown = (Neighbours(2, rows=n).double() for n in (60, 40))
    whole.fit(rows, torch.zeros_like)  # how much latents count depends on the rows of the fit
    grown.fit(rows[:40], torch.zeros_like)
    grown.extend(rows[40:], torch.zeros_like)
    assert torch.equal(grown.spacing, whole.spacing)
