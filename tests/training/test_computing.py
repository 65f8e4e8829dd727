"""How steps are computed: with one thread or more, and compiled."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from compactflow import OneClassFlow
from compactflow.devices import can_compile
from compactflow.pushes.base import Push
from compactflow.pushes.stein import Stein

X = make_moons(600, noise=0.05, random_state=0)[0].astype(np.float32)


def test_small_batches_compute_with_one_thread_and_leave_the_setting():
    threads = []

    class Spy(Push):
        entropic = True
        rowwise = True

        def forward(self, backbone, pull, x, generator=None):
            threads.append(torch.get_num_threads())
            return Stein()(backbone, pull, x, generator)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small = {"max_steps": 1, "members": 1, "backbone_options": {"blocks": 1, "width": 4}}
        OneClassFlow(push=Spy(), **small).fit(X[:50])
        OneClassFlow(push=Spy(), **small, batch_size=1 << 15).fit(X[:50])
        assert threads == [1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def compile_quickly():
    """Compile as if for the first time, to plain loops, which takes half the time."""
    from torch._inductor import config

    torch.compiler.reset()
    with config.patch({"cpp.vec_isa_ok": False, "cpp_cache_precompile_headers": False}):
        yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("push", ["stein", "likelihood"])
@pytest.mark.usefixtures("compile_quickly")
def test_compiled_steps_train_alike(push):
    if not can_compile(torch.device("cpu")):
        pytest.skip("there is no compiler here")
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    network = {"blocks": 1, "width": 8}  # as each of its parts takes the compiler seconds
    options = {"push": push, "max_steps": 20, "backbone_options": network, "members": 2}
    scores = [
        OneClassFlow(compile=compiled, random_state=0, **options).fit(X).signed_distance(X)
        for compiled in (False, True)
    ]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-4)


def test_without_a_compiler_steps_run_as_they_are(monkeypatch, caplog):
    def fail(function):
        def call(*args):
            raise RuntimeError("no compiler\nand many lines")

        return call

    monkeypatch.setattr(torch, "compile", fail)
    scores = [
        OneClassFlow(compile=compiled, max_steps=3, random_state=0).fit(X).signed_distance(X)
        for compiled in (False, True)
    ]
    np.testing.assert_array_equal(*scores)
    assert caplog.messages == ["not compiled, as torch.compile fails: no compiler"]
