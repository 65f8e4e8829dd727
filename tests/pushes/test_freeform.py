"""Hutchinson's trace with an inverse: the log-determinant's gradient, in the mean."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.iresnet import IResNet
from compactflow.latents.cube import Cube
from compactflow.pulls.barriers import Barrier
from compactflow.pushes.freeform import FreeForm, LearntFreeForm
from compactflow.randomness import seeded
from compactflow.testing.tools import perturb


def gradient(term, module):
    found = torch.autograd.grad(term, list(module.parameters()), materialize_grads=True)
    return torch.cat([each.flatten() for each in found])


@pytest.fixture
def setting():
    torch.manual_seed(0)
    backbone = perturb(IResNet(2, blocks=1, width=8), 0.3).double()
    return backbone, Barrier(Cube(2).double()), torch.randn(8, 2).double()


def test_its_mean_gradient_is_that_of_the_log_det(setting):
    backbone, pull, x = setting
    exact = gradient(-backbone.log_abs_det(x).mean(), backbone)
    rows = x.repeat(500, 1)
    z, term = FreeForm()(backbone, pull, rows, seeded(0))
    assert torch.equal(z, backbone(rows))
    found = gradient(term, backbone)
    assert (found - exact).norm() < 0.1 * exact.norm()


def test_the_slope_of_what_is_learnt_is_that_of_its_values():
    push = perturb(LearntFreeForm(dim=3, width=8).double())
    z, v = torch.randn(2, 6, 3).double()
    ahead, behind = (push._decode(z + step * v, v)[0] for step in (1e-5, -1e-5))
    assert torch.allclose(push._decode(z, v)[1], (ahead - behind) / 2e-5)


def test_a_learnt_inverse_gives_that_force_once_it_has_learned(setting):
    backbone, pull, x = setting
    push = LearntFreeForm(dim=2, width=32).double()
    assert torch.equal(push._decode(x, x)[0], x)  # it begins as the identity
    optimizer = torch.optim.Adam(push.parameters(), lr=1e-2)
    before = backbone.state_dict()
    for step in range(200):
        rows = torch.randn(128, 2).double()
        _, term = push(backbone, pull, rows, seeded(step))
        optimizer.zero_grad()
        term.backward()
        optimizer.step()
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())
    exact = gradient(-backbone.log_abs_det(x).mean(), backbone)
    found = gradient(push(backbone, pull, x.repeat(500, 1), seeded(0))[1], backbone)
    assert torch.cosine_similarity(found, exact, dim=0) > 0.95


def test_they_train_in_a_detector_of_several_flows():
    X = np.random.default_rng(0).normal(size=(80, 2))
    options = {"max_steps": 3, "members": 2, "random_state": 0, "backbone_options": {"blocks": 1}}
    compactflow.build(push="free-form", **options).fit(X)
    learnt = compactflow.build(push="free-form-learnt", **options)
    assert learnt.fit(X).history_["step"] == [1, 2, 3]


def test_the_learnt_inverse_has_the_datas_dimension():
    detector = compactflow.build(
        push="free-form-learnt", push_options={"dim": 3}, max_steps=1, members=1, random_state=0
    )
    with pytest.raises(ValueError, match="dim is 3, and the data have 2"):
        detector.fit(np.random.default_rng(0).normal(size=(80, 2)))
    with pytest.raises(ValueError, match="dim and width"):
        LearntFreeForm(dim=0)


@pytest.mark.parametrize("push", ["free-form", "free-form-learnt"])
def test_asked_to_compile_they_train_as_they_are_and_say_why(push, X, caplog):
    options = {"push": push, "max_steps": 3, "random_state": 0}
    options |= {"members": 1, "backbone_options": {"blocks": 2, "width": 8}}
    plain = compactflow.build(**options).fit(X)
    asked = compactflow.build(compile=True, **options).fit(X)
    assert "gradients of gradients" in caplog.text
    np.testing.assert_array_equal(asked.signed_distance(X), plain.signed_distance(X))
