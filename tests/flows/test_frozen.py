"""The score in few operations is the plain one's, and follows the weights."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.stacking import stack_modules
from compactflow.flows.univariate import Univariate, side_by_side

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
X[:, 1] = RNG.integers(0, 3, size=300)  # ties
X[:, 2] = np.exp(2 * X[:, 2])  # a heavy tail
FAR = np.concatenate([X, 1e3 * X, X[:1] * 1e6])
TINY = {"max_steps": 3, "members": 3, "random_state": 0}


def fit(**options):
    return compactflow.build(**TINY | options).fit(X)


@pytest.fixture(scope="module")
def ensemble():
    return fit(backbone_options={"blocks": 2, "width": 8}).ensemble_


@torch.no_grad()
def plain(ensemble, rows):
    return ensemble(torch.from_numpy(rows)).numpy()


def agree(ensemble, rows=FAR):
    found, exact = ensemble.signed_distance(rows), plain(ensemble, rows)
    return bool((np.abs(found - exact) <= 1e-9 * np.maximum(1, np.abs(exact))).all())


@pytest.mark.parametrize(
    "options",
    [
        {"backbone": "iresnet", "backbone_options": {"blocks": 1, "width": 8}},
        {"backbone_options": {"blocks": 2, "horizon": 3.0}, "preprocessing": "half-whiten"},
        {"backbone_options": {"blocks": 2, "transform": "spline"}, "score_by": "support"},
        {"backbone_options": {"blocks": 2, "activation": "relu"}, "members": 1},
        {"backbone_options": {"blocks": 2, "permutation": "hartley"}},
    ],
)
def test_frozen_scores_are_the_plain_ones(options):
    assert agree(fit(**options).ensemble_)


def test_decisions_are_the_plain_ones_at_knots_and_for_one_row(ensemble):
    assert agree(ensemble)
    assert ((ensemble.signed_distance(FAR) > 0) == (plain(ensemble, FAR) > 0)).all()
    alone = [ensemble.signed_distance(row[None]) for row in FAR[:20]]
    assert np.allclose(np.concatenate(alone), ensemble.signed_distance(FAR)[:20], atol=1e-12)


def test_frozen_scores_follow_the_weights(ensemble):
    ensemble = copy.deepcopy(ensemble)
    before = ensemble.signed_distance(X)
    moved = ensemble.at(ensemble.level + 1)
    with torch.no_grad():
        ensemble.networks[1].blocks[0].shift.add_(0.5)
    assert not np.allclose(ensemble.signed_distance(X), before)
    assert agree(ensemble)
    assert np.allclose(moved.signed_distance(X), ensemble.signed_distance(X) - 1)
    assert agree(pickle.loads(pickle.dumps(ensemble)))
    ensemble.cast(torch.float32)
    assert np.allclose(ensemble.signed_distance(X), plain(ensemble, X), atol=1e-4)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_the_chunks_in_order(ensemble, threads):
    rows, before = np.tile(X, (3, 1)), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert agree(ensemble, rows)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


class Calls(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count, self.searches = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        self.searches += func.overloadpacket.__name__ == "searchsorted"
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_a_chain_takes_few_calls_and_networks_share_them():
    networks = [Coupling(6, blocks=4, width=8).double() for _ in range(3)]
    x = torch.randn(3, 5, 6, dtype=torch.float64)
    calls = []
    for call in (stack_modules(networks).prepared(), stack_modules(networks)):
        with Calls() as counted:
            call(x)
        calls.append(counted.count)
    assert calls[0] <= 11 * 4 + 5
    assert calls[0] <= 0.4 * calls[1]


def test_a_single_row_takes_few_calls(ensemble):
    ensemble.signed_distance(X[:1])  # which prepares
    with Calls() as counted:
        ensemble.signed_distance(X[:1])
    assert (
        counted.count <= 11 * 2 + 70 + 70
    )  # a block, the two searches, and the terms of the score


@pytest.mark.parametrize(("rows", "searches", "calls"), [(1, 1, 50), (256, 0, 100)])
def test_many_values_of_columns_are_sought_side_by_side(rows, searches, calls):
    columns = Univariate(16, 4096)
    columns.fit(torch.randn(4096, 16))
    score, x = side_by_side([columns]), torch.randn(rows, 16)
    with Calls() as counted:
        score(x)
    assert counted.searches == searches
    assert counted.count <= calls
