import pytest
import torch
from scipy.stats import kstest

from compactflow.latents.ball import Ball
from compactflow.latents.cube import Cube
from compactflow.latents.gaussian import Gaussian
from compactflow.pulls.barriers import Barrier
from compactflow.pulls.base import Pull
from compactflow.pulls.norms import Euclidean, Squared
from compactflow.pushes.stein import Stein
from compactflow.pushes.theory import balance


def settle(pull, n=1000, **options):
    torch.manual_seed(0)
    return pull.double().settle(n, **options)


def test_under_an_entropic_push_latents_follow_the_pull():
    # exp(-β|z|) in D dimensions has a radius with the gamma distribution of shape D, rate β.
    pull = Euclidean(Ball(3))
    balance(pull, Stein())
    radius = settle(pull).norm(dim=1)
    assert kstest(radius, "gamma", args=(3, 0, 1 / pull.weight)).pvalue > 1e-3


@pytest.mark.parametrize("sharpness", [0.8, 3.0])
def test_the_soft_cube_has_the_marginals_of_its_barrier(sharpness):
    z = settle(Barrier(Cube(4), sharpness=sharpness))
    grid = torch.linspace(-20, 20, 20_001, dtype=torch.float64)
    density = torch.exp(-torch.nn.functional.softplus(sharpness * (grid.abs() - 1)))
    cdf = density.cumsum(0) / density.sum()
    for column in z.T:
        places = torch.searchsorted(grid, column.contiguous()).clamp(max=len(grid) - 1)
        assert kstest(cdf[places], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("latent", [Cube, Ball, Gaussian])
@pytest.mark.parametrize("dim", [1, 3])
def test_a_closed_form_agrees_with_the_chain(latent, dim):
    pull = Barrier(latent(dim), sharpness=2.5)
    exact, chain = settle(pull), Pull.settle(pull, 1000)
    assert kstest(exact[:, 0], chain[:, 0]).pvalue > 1e-3
    assert kstest(exact.norm(dim=1), chain.norm(dim=1)).pvalue > 1e-3


def test_a_level_cuts_the_law_off():
    pull = Barrier(Cube(3), sharpness=2.5)
    z = settle(pull, level=0.4)
    free = settle(pull, 4000)
    distance = [pull.latent.signed_distance(each) for each in (z, free)]
    assert distance[0].max() <= 0.4
    assert kstest(distance[0], distance[1][distance[1] <= 0.4]).pvalue > 1e-3


def test_a_normal_latent_stays_normal():
    pull = Squared(Gaussian(5))
    assert kstest(settle(pull).flatten(), "norm").pvalue > 1e-3


def test_a_weighted_squared_pull_leaves_a_narrower_normal():
    pull = Squared(Gaussian(5))
    pull.weight = 4.0
    assert kstest(2 * settle(pull).flatten(), "norm").pvalue > 1e-3
