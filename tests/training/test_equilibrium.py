import pytest
import torch
from scipy.stats import kstest

from compactflow.latents.ball import Ball
from compactflow.latents.cube import Cube
from compactflow.latents.gaussian import Gaussian
from compactflow.pulls.barriers import Barrier
from compactflow.pulls.norms import Euclidean, MaxAbs, Squared
from compactflow.pushes.mirror import Mirror
from compactflow.pushes.stein import Stein
from compactflow.pushes.theory import balance
from compactflow.training.equilibrium import sample_equilibrium


def settle(pull, push, n=1000):
    torch.manual_seed(0)
    pull.double()
    return sample_equilibrium(pull, push, n)


def test_under_an_entropic_push_latents_follow_the_pull():
    # exp(-β|z|) in D dimensions has a radius with the gamma distribution of shape D, rate β.
    pull = Euclidean(Ball(3))
    balance(pull, Stein())
    radius = settle(pull, Stein()).norm(dim=1)
    assert kstest(radius, "gamma", args=(3, 0, 1 / pull.weight)).pvalue > 1e-3


def test_the_soft_cube_has_the_marginals_of_its_barrier():
    z = settle(Barrier(Cube(4), sharpness=3.0), Stein())
    grid = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
    density = torch.exp(-torch.nn.functional.softplus(3 * (grid.abs() - 1)))
    cdf = density.cumsum(0) / density.sum()
    for column in z.T:
        places = torch.searchsorted(grid, column.contiguous()).clamp(max=len(grid) - 1)
        assert kstest(cdf[places], "uniform").pvalue > 1e-3


def test_a_normal_latent_stays_normal():
    pull = Squared(Gaussian(5))
    assert kstest(settle(pull, Stein()).flatten(), "norm").pvalue > 1e-3


def test_a_weighted_squared_pull_leaves_a_narrower_normal():
    pull = Squared(Gaussian(5))
    pull.weight = 4.0
    assert kstest(2 * settle(pull, Stein()).flatten(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("dim", [1, 64])
def test_other_pushes_leave_the_latent_distribution(dim):
    assert settle(MaxAbs(Cube(dim)), Mirror()).abs().max() <= 1
