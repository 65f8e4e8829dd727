"""Regression onto assigned samples: it rests at the latent's law, for supports of any shape."""

from itertools import permutations

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.base import Backbone
from compactflow.latents.ball import Ball
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pulls.base import Pull
from compactflow.pushes.theory import check_theory
from compactflow.pushes.transport import Transport
from compactflow.randomness import seeded
from compactflow.training.callbacks import Callback


class Shift(Backbone):
    """Without an inverse, which the push is never to ask for."""

    def __init__(self, dim):
        super().__init__(dim)
        self.shift = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return x + self.shift

    def inverse(self, z, *, start=None):
        raise AssertionError("the push asks for an inverse")


@pytest.mark.parametrize("matching", ["exact", "sinkhorn", "sliced"])
def test_the_force_draws_latents_to_the_support_and_ends_there(matching):
    backbone, pull, push = Shift(2), Barrier(Cube(2)), Transport(matching=matching)
    for place in (2.0, 0.0):
        x = Cube(2).sample(256, seeded(0)) + place
        terms = [push(backbone, pull, x, seeded(seed))[1] for seed in range(20)]
        forces = torch.stack([torch.autograd.grad(t, backbone.shift)[0] for t in terms])
        # W(a, z̃) and W(b, z̃') each draw by twice the distance to the support's centre.
        assert torch.allclose(forces.mean(dim=0), torch.full((2,), 4 * place), atol=0.8)


def test_an_exact_assignment_is_the_best():
    a, b = torch.randn(6, 2), torch.randn(6, 2)
    best = min(float((a - b[list(p)]).square().sum(1).mean()) for p in permutations(range(6)))
    assert float(Transport(matching="exact")._cost(a, b, None)) == pytest.approx(best, rel=1e-5)
    soft = float(Transport(matching="sinkhorn")._cost(a, b, None))
    assert best <= soft * 1.001 < 1.5 * best


def test_a_line_is_sliced_exactly():
    a, b = torch.randn(20, 1), torch.randn(20, 1)
    costs = [float(Transport(matching=m)._cost(a, b, seeded(0))) for m in ("exact", "sliced")]
    assert costs[0] == pytest.approx(costs[1], rel=1e-4)


def test_any_support_serves_and_the_pull_has_no_part():
    class Inward(Pull):
        def forward(self, z):
            return -z.norm(dim=1)

    check_theory(Inward(Cube(2)), Transport())
    detector = compactflow.build(push="transport", max_steps=2, members=2, random_state=0)
    losses = []

    class Watch(Callback):
        def on_step(self, state):
            losses.append(float(state.losses["pull"]))

    detector.fit(np.random.default_rng(0).normal(size=(80, 2)), callbacks=[Watch()])
    assert losses == [0.0, 0.0]
    assert type(detector.pull_).__name__ == "Barrier"  # of which the density is made


@pytest.mark.slow
@pytest.mark.parametrize("latent", [Cube, Ball])
def test_training_fills_the_support(latent):
    x = np.random.default_rng(0).normal(size=(400, 2)) * [1, 3]
    options = {"max_steps": 100, "members": 1, "random_state": 0, "score_by": "support"}
    options["backbone_options"] = {"blocks": 4, "width": 16}
    history = compactflow.build(latent=latent, push="transport", **options).fit(x).history_
    assert history["energy_distance"][-1] < 0.01
    assert history["inlier_fraction"][-1] > 0.8


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="matching must be"):
        Transport(matching="greedy")
    with pytest.raises(ValueError, match="directions"):
        Transport(directions=0)
