import math

import pytest
import torch

from compactflow.latents.ball import Ball
from compactflow.latents.cube import Cube
from compactflow.latents.gaussian import Gaussian
from compactflow.pulls.barriers import Barrier
from compactflow.pulls.norms import Euclidean, Gauge, Lp, MaxAbs, Squared
from compactflow.pushes.stein import Stein
from compactflow.pushes.theory import balance

PULLS = {
    "max-abs": MaxAbs,
    "euclidean": Euclidean,
    "squared": Squared,
    "lp": Lp,
    "gauge": Gauge,
    "barrier": Barrier,
}
LATENTS = {"cube": Cube, "ball": Ball, "gaussian": Gaussian}


@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("name", PULLS)
def test_convex_and_growing_outward(name, latent):
    pull = PULLS[name](LATENTS[latent](3).double()).double()
    a, b = 3 * torch.randn(2, 500, 3).double()
    middle = pull((a + b) / 2)
    assert (middle <= (pull(a) + pull(b)) / 2 + 1e-12).all()
    boundary = pull.latent.boundary(100)
    assert (pull(1.1 * boundary) > pull(boundary)).all()


@pytest.mark.parametrize(
    ("pull", "value"),
    [
        (MaxAbs(Cube(2)), 4.0),
        (Euclidean(Cube(2)), 5.0),
        (Squared(Cube(2)), 12.5),
        (Lp(Cube(2), p=1.0), 7.0),
        (Gauge(Ball(2)), 5.0),
        (Barrier(Cube(2), sharpness=1.0), math.log1p(math.exp(2)) + math.log1p(math.exp(3))),
    ],
)
def test_values_by_hand(pull, value):
    assert pull(torch.tensor([[3.0, -4.0]])).item() == pytest.approx(value)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Lp(Cube(2), p=0.5), "convex"),
        (lambda: Barrier(Cube(2), sharpness=0), "sharpness"),
    ],
)
def test_bad_options_are_named(make, word):
    with pytest.raises(ValueError, match=word):
        make()


@pytest.mark.parametrize(
    ("pull", "weight"),
    [
        (MaxAbs(Cube(3)), 4),
        (Gauge(Cube(1)), 2),
        (Euclidean(Ball(5)), 6),
        (Squared(Gaussian(7)), 1),
        (Squared(Cube(2)), 3),
    ],
)
def test_balance_keeps_the_latent_distributions_size(pull, weight):
    assert pull.weight == 1
    balance(pull, Stein())
    assert pull.weight == pytest.approx(weight, rel=0.02)


@pytest.mark.parametrize("name", PULLS)
def test_the_gradient_is_the_slope_of_the_value(name):
    pull = PULLS[name](Cube(3).double()).double()
    z, direction, h = *torch.randn(2, 50, 3).double(), 1e-6
    with torch.no_grad():
        value, gradient = pull.value_and_gradient(z)
        slope = (pull(z + h * direction) - pull(z - h * direction)) / (2 * h)
    assert torch.equal(value, pull(z))
    torch.testing.assert_close((gradient * direction).sum(dim=1), slope, rtol=1e-5, atol=1e-7)


def test_the_barrier_is_as_sharp_as_the_latents_edge_is_narrow():
    class Thin(Ball):
        edge = 0.1

    z = torch.randn(20, 3)
    assert Cube(3).edge == Ball(3).edge == Gaussian(3).edge == 0.4
    assert torch.equal(Barrier(Cube(3))(z), Barrier(Cube(3), sharpness=2.5)(z))
    torch.testing.assert_close(Barrier(Thin(3))(z), Barrier(Ball(3), sharpness=10.0)(z))
