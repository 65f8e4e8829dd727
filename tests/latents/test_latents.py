import math

import pytest
import torch
from scipy.stats import chi, kstest, uniform

from compactflow.latents import levels
from compactflow.latents.ball import Ball
from compactflow.latents.cube import Cube
from compactflow.latents.gaussian import Gaussian
from compactflow.training.monitors import energy_distance

CONSTRUCTORS = {"cube": Cube, "ball": Ball, "gaussian": Gaussian}


def make(name, dim):
    return CONSTRUCTORS[name](dim).double()


@pytest.mark.parametrize(
    ("z", "score"),
    [
        ((0, 0), -1),
        ((0.5, -0.2), -0.5),
        ((1, 0.3), 0),
        ((2, 0.5), 1),
        ((2, -3), 3),
        ((-1.5, 1.25), 0.75),
    ],
)
def test_cube_score_by_hand(z, score):
    assert Cube(2).signed_distance(torch.tensor([z]).float()).item() == pytest.approx(score)


@pytest.mark.parametrize(("z", "score"), [((0, 0), -1), ((0.6, 0.8), 0), ((3, 4), 4)])
def test_ball_score_by_hand(z, score):
    latent = Ball(2)
    assert latent.signed_distance(torch.tensor([z]).float()).item() == pytest.approx(
        score, abs=1e-6
    )


def test_gaussian_support_holds_its_level():
    latent = Gaussian(3, alpha=0.1).double()
    inside = (latent.signed_distance(latent.sample(40_000)) <= 0).double().mean()
    assert inside == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_samples_follow_their_law(dim):
    n = 5000
    cube, ball, gaussian = (make(name, dim).sample(n) for name in CONSTRUCTORS)
    assert kstest(cube[:, 0], uniform(-1, 2).cdf).pvalue > 1e-3
    assert kstest(ball.norm(dim=1) ** dim, uniform().cdf).pvalue > 1e-3
    assert kstest(gaussian.norm(dim=1), chi(dim).cdf).pvalue > 1e-3
    for sample, variance in ((cube, 1 / 3), (ball, 1 / (dim + 2)), (gaussian, 1.0)):
        error = 5 * math.sqrt(2 / n) * max(variance, 0.3)
        assert sample.var(dim=0).sub(variance).abs().max() < error
        assert sample.mean(dim=0).abs().max() < 5 * math.sqrt(variance / n)


@pytest.mark.parametrize("dim", [1, 2, 4])
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_boundary_has_distance_zero_and_gauge_one(name, dim):
    latent = make(name, dim)
    boundary = latent.boundary(200)
    assert boundary.shape == (200, dim)
    assert latent.signed_distance(boundary).abs().max() < 1e-12
    torch.testing.assert_close(latent.gauge(boundary), torch.ones(200).double())


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_boundary_is_one_turn_in_the_plane(name):
    boundary = make(name, 2).boundary(400)
    steps = (boundary.roll(-1, 0) - boundary).norm(dim=1)
    assert steps.max() < 0.1 * boundary.norm(dim=1).max()


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_gauge_is_homogeneous_and_agrees_with_the_distance(name):
    latent = make(name, 3)
    z = 2 * latent.sample(500)
    torch.testing.assert_close(latent.gauge(3 * z), 3 * latent.gauge(z))
    assert torch.equal(latent.gauge(z) <= 1, latent.signed_distance(z) <= 0)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_projection_is_the_nearest_support_point(name):
    latent = make(name, 2)
    z = 5 * torch.randn(50, 2).double()
    nearest = latent.project(z)
    assert latent.signed_distance(nearest).max() < 1e-12
    candidates = latent.boundary(4000)
    outside = latent.signed_distance(z) > 0
    brute = torch.cdist(z[outside], candidates).amin(dim=1)
    torch.testing.assert_close((z - nearest)[outside].norm(dim=1), brute, atol=1e-2, rtol=0)
    torch.testing.assert_close(nearest[~outside], z[~outside])


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_density_integrates_to_one(name):
    latent = make(name, 2)
    axis = torch.linspace(-6, 6, 1201).double()
    density = latent.log_prob(torch.cartesian_prod(axis, axis)).exp()
    assert density.sum() * 0.01**2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_sampling_with_a_generator_repeats(name):
    latent = make(name, 3)
    one, other = (latent.sample(5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("level", [-0.4, 0.0, 0.7])
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_closed_forms_of_a_level_agree_with_the_search(name, level):
    latent = make(name, 3)
    z = 4 * torch.randn(300, 3).double()
    exact, found = latent.level_project(z, level), levels.project(latent, z, level)
    assert (latent.signed_distance(exact) <= level + 1e-12).all()
    moved, near = ((one - z).norm(dim=1) for one in (exact, found))
    assert (moved <= near + 1e-9).all()  # the nearest point is no further than any other
    torch.testing.assert_close(latent.level_gauge(z, level), levels.gauge(latent, z, level))
    samples = [latent.level_sample(500, level), levels.sample(latent, 500, level)]
    assert energy_distance(*samples) < 12 / 500 * torch.pdist(samples[0]).mean()


def test_the_grown_cube_grows_in_the_1_norm():
    latent = Cube(2)
    corner = latent.level_project(torch.tensor([[5.0, 5.0], [3.0, 0.5]]), 1.0)
    torch.testing.assert_close(corner, torch.tensor([[1.5, 1.5], [2.0, 0.5]]))
    # Of an area of 4 + 4 * 2 + 4 * 1/2, the corners have 2.
    z = latent.level_sample(20_000, 1.0)
    assert (z.abs() > 1).all(dim=1).float().mean().item() == pytest.approx(2 / 14, abs=0.01)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_a_level_that_leaves_nothing_is_refused(name):
    latent = make(name, 2)
    for use in (latent.level_project, latent.level_gauge):
        with pytest.raises(ValueError, match="level"):
            use(latent.boundary(3), -9.0)
    for draw in (latent.level_boundary, latent.level_sample):
        with pytest.raises(ValueError, match="level"):
            draw(3, -9.0)


def test_gaussian_level_is_checked():
    with pytest.raises(ValueError, match="alpha"):
        Gaussian(2, alpha=1.0)
