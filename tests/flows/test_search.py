"""The nearest of reference points are found, whatever else is asked for."""

import pytest
import torch

from compactflow.flows.search import Search, smallest

RNG = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=RNG)


@pytest.mark.parametrize("count", [23, 90])
@pytest.mark.parametrize("columns", [3, 8, 100, 300, 723, 727, 1001, 4096])
def test_smallest_finds_the_smallest(columns, count):
    values = torch.rand(50, columns)
    values[0, :] = 1.0  # ties
    count = min(columns, count)
    found = values.gather(1, smallest(values, count)).sort(dim=1).values
    assert (smallest(values, count).sort(dim=1).values.diff(dim=1) > 0).all()
    assert torch.allclose(found, values.sort(dim=1).values[:, :count], rtol=2e-4)


@pytest.mark.parametrize(("count", "known"), [(1, 1), (20, 12), (20, 1000), (300, 1000)])
@pytest.mark.parametrize("rows", [1, 150])
def test_distances_are_those_of_all_pairs(count, known, rows):
    points, asked = draw(2, known, 6), draw(2, rows, 6)
    near, places = Search(points, count)(asked)
    apart = (asked.unsqueeze(2) - points.unsqueeze(1)).norm(dim=3)
    torch.testing.assert_close(near, apart.sort(dim=2).values[..., :count])
    torch.testing.assert_close(near, apart.gather(2, places))


def test_no_point_is_its_own_neighbour_and_a_twin_is():
    points = draw(1, 700, 3)
    points[0, 1] = points[0, 0]
    own = torch.arange(700)
    near, places = Search(points, 5)(points, own)
    assert not (places[0] == own[:, None]).any()
    assert places[0, :2, 0].tolist() == [1, 0]
    assert (near[0, :2, 0] == 0).all()
    assert (near[0, 2:] > 0).all()
