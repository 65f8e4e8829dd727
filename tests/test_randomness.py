"""A seed holds whatever else the process does, and torch's global state is the caller's."""

from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest
import torch
import zuko
from brief import SMALL
from torch import nn

import compactflow
from compactflow.backbones.base import Backbone
from compactflow.devices import single_threaded
from compactflow.pushes.base import Push
from compactflow.randomness import drawing_from, normal_like, seeded

X = np.random.default_rng(0).normal(size=(60, 3))


class Linear(Backbone):
    """Draws its start as most modules of torch do, from the global generator."""

    def __init__(self, dim):
        super().__init__(dim)
        self.triangle = nn.Parameter(0.1 * torch.randn(dim, dim))
        self.bias = nn.Linear(dim, 1).weight

    def _matrix(self):
        return torch.eye(self.dim).to(self.triangle) + self.triangle.tril(-1)

    def forward(self, x):
        return x @ self._matrix().T + self.bias

    def inverse(self, z, *, start=None):
        return torch.linalg.solve(self._matrix(), (z - self.bias).T).T


class DrawsInTraining(Linear):
    """Draws at each step, as a dropout does, and uses nothing of it."""

    def forward(self, x):
        if self.training:
            torch.rand(1)
        return super().forward(x)


class DrawsGlobally(Push):
    """Draws from torch's generator, as it should not."""

    entropic = True

    def forward(self, backbone, pull, x, generator=None):
        z = backbone(x)
        step = 0.1 * torch.randn_like(z)
        shifted = backbone.recode(z.detach() + step, start=x)
        return z, -(step * (shifted - z)).sum(dim=1).mean() / 0.01


def fit(backbone="coupling", push="stein"):
    network = {"links": [DrawsInTraining]} if backbone == "chain" else SMALL.get(backbone)
    options = {"max_steps": 2, "members": 1, "random_state": 0, "push": push}
    detector = compactflow.build(backbone, backbone_options=network, **options).fit(X)
    return np.append(detector.signed_distance(X), detector.history_["loss"])


@pytest.mark.parametrize(
    ("backbone", "push"),
    [
        ("coupling", "stein"),
        ("zuko:NICE", "mirror"),
        (Linear, "stein"),
        ("chain", "stein"),
        ("coupling", DrawsGlobally),
    ],
)
def test_a_seed_holds_in_threads_and_leaves_the_callers_generator(backbone, push):
    alone = fit(backbone, push)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with ThreadPoolExecutor(3) as pool:
        for scores in pool.map(fit, [backbone] * 3, [push] * 3):
            np.testing.assert_array_equal(scores, alone)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("change", "restore"),
    [
        (
            lambda: torch.set_default_dtype(torch.float64),
            lambda: torch.set_default_dtype(torch.float32),
        ),
        (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
        (lambda: torch.manual_seed(99), lambda: None),
    ],
)
@pytest.mark.parametrize("backbone", ["coupling", Linear])
def test_a_seed_holds_whatever_the_caller_has_set(backbone, change, restore):
    alone = fit(backbone)
    change()
    try:
        np.testing.assert_array_equal(fit(backbone), alone)
    finally:
        restore()


def test_building_and_loading_leave_the_callers_generator(tmp_path):
    compactflow.build(max_steps=1, members=1).fit(X).save(tmp_path / "model")
    before = torch.get_rng_state()
    compactflow.build(latent="ball", push="mirror")
    compactflow.load(tmp_path / "model", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def draw():
    """What components draw with, one of each kind."""
    modules = [
        nn.Linear(3, 4),
        nn.LSTM(3, 4),
        zuko.flows.NSF(3),
        nn.utils.parametrizations.orthogonal(nn.Linear(3, 3)),
    ]
    weights = [value for module in modules for value in module.state_dict().values()]
    return [
        *weights,
        nn.init.trunc_normal_(torch.zeros(4)),
        torch.rand_like(torch.zeros(3, dtype=torch.float64)),
        torch.randn_like(input=torch.zeros(3)),
        torch.randperm(9),
        torch.randint(9, (3,)),
        torch.normal(0.0, 1.0, (3,)),
        torch.distributions.Normal(torch.zeros(2), torch.ones(2)).sample(),
        torch.ones(3).multinomial(2),
        torch.empty(3).exponential_(),
    ]


def test_other_code_draws_from_the_generator_as_it_would_from_torchs():
    torch.manual_seed(0)
    expected = draw()
    before = torch.get_rng_state()
    with drawing_from(seeded(0)):
        found = draw()
    assert all(map(torch.equal, found, expected))
    assert [value.dtype for value in found] == [value.dtype for value in expected]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_that_is_given_is_used():
    with drawing_from(seeded(0)):
        found = torch.randn(3, generator=seeded(1)), normal_like(torch.zeros(3), seeded(1))
    torch.manual_seed(1)
    expected = torch.randn(3)
    assert all(torch.equal(value, expected) for value in found)


def test_of_runs_at_once_the_last_gives_the_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = single_threaded(), single_threaded()
        first.__enter__()
        thread = Thread(target=second.__enter__)
        thread.start()
        thread.join()
        assert torch.get_num_threads() == 1
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
