import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.latents.cube import Cube
from compactflow.training.monitors import (
    conditioning,
    energy_distance,
    latent_energy,
    resampled_energies,
    within,
)
from compactflow.training.stack import Stack


def test_energy_distance_is_the_u_statistic():
    a, b = torch.randn(30, 3).double(), torch.rand(40, 3).double()
    expected = (
        2 * cdist(a, b).mean() - cdist(a, a).sum() / (30 * 29) - cdist(b, b).sum() / (40 * 39)
    )
    assert energy_distance(a, b) == pytest.approx(expected)


def test_energy_distance_is_unbiased_under_equal_laws():
    values = [energy_distance(torch.randn(50, 2), torch.randn(50, 2)) for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)


def test_conditioning_finds_a_known_stretch():
    flow = CompactFlow(Coupling(2, blocks=1, permutation="hard"), Cube(2))
    with torch.no_grad():
        flow.backbone.blocks[0].subnet[2].weight.zero_()
        flow.backbone.blocks[0].subnet[2].bias.zero_()
        flow.backbone.blocks[0].scale += torch.tensor([20.0, 0.0])
    x = torch.randn(500, 2)
    with torch.no_grad():
        jacobian = torch.func.jacrev(lambda row: flow.backbone(row[None])[0])(x[0])
        exact = torch.linalg.cond(jacobian).item()
        found = conditioning(flow, x, flow.backbone(x))
    assert 0.6 * exact < found <= 1.01 * exact


@pytest.mark.parametrize("rows", [3, 8, 40])
def test_energies_of_draws_from_a_pool_are_those_of_the_drawn_rows(rows):
    flow = CompactFlow(Stack([Coupling(2, blocks=1) for _ in range(4)]), Cube(2))
    pool, reference = torch.randn(12, 2).double(), torch.rand(9, 2).double()
    picked = torch.randint(12, (5, rows))
    found = resampled_energies(flow, pool, picked, reference, within(reference))
    expected = [latent_energy(flow, pool[each], reference) for each in picked]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
