"""The guide's push that learns passes the kit, and is told the number of features."""

import numpy as np
import pytest
import torch
from torch import nn

import compactflow
from compactflow.flows.assembly import make_push
from compactflow.flows.components import Part
from compactflow.pushes.base import Push
from compactflow.testing import check_push


class Reverse(torch.autograd.Function):
    """The identity, with the gradient's sign turned round."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -grad


class Seeking(Push):
    """The sliced squared Wasserstein distance, along directions that seek the largest."""

    entropic = False
    pulled = False  # it says of each latent where it is to go

    def __init__(self, *, dim, slices=16):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(slices, dim))

    def forward(self, backbone, pull, x, generator=None):
        z = backbone(x)
        target = pull.latent.sample(len(x), generator).to(z)
        unit = nn.functional.normalize(Reverse.apply(self.directions), dim=1)
        shift = (z @ unit.T).sort(dim=0).values - (target @ unit.T).sort(dim=0).values
        return z, shift.square().mean()


@pytest.mark.slow
def test_it_passes_the_kit():
    found = {result.name: result for result in check_push(Seeking)}
    assert {name for name, result in found.items() if result.status != "passed"} == {
        "entropic-gradient-is-that-of-the-log-det"
    }


def test_it_is_told_the_number_of_features():
    X = np.random.default_rng(0).normal(size=(80, 3))
    detector = compactflow.build(
        push=Seeking, push_options={"slices": 4}, max_steps=2, members=2, random_state=0
    )
    assert np.isfinite(detector.fit(X).signed_distance(X)).all()


@pytest.mark.parametrize(("choice", "options"), [(Seeking, {"dim": 5}), (Seeking(dim=5), {})])
def test_what_is_given_stays(choice, options):
    push = make_push({"push": Part(choice=choice, options=options)}, 3)
    assert push.directions.shape == (16, 5)
