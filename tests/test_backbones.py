import math

import pytest
import torch

from compactflow.backbones.coupling import Coupling

CONSTRUCTORS = {
    "aligned": lambda dim: Coupling(dim, blocks=4, width=16),
    "soft": lambda dim: Coupling(dim, blocks=4, width=16, permutation="soft"),
    "hard": lambda dim: Coupling(dim, blocks=4, width=16, permutation="hard"),
    "paper": lambda dim: Coupling(dim, permutation="soft", horizon=None),
}
DIMS = [1, 2, 3, 5, 8]
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def perturbed(name, dim, dtype):
    backbone = CONSTRUCTORS[name](dim)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return backbone.to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_inverse_undoes_forward(name, dim, dtype):
    backbone = perturbed(name, dim, dtype)
    x = 2 * torch.randn(64, dim, dtype=dtype)
    with torch.no_grad():
        error = (backbone.inverse(backbone(x)) - x).norm() / x.norm()
    assert error <= TOLERANCE[dtype]


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_log_abs_det_is_autograds(name, dim):
    backbone = perturbed(name, dim, torch.float64)
    x = torch.randn(3, dim, dtype=torch.float64)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: backbone(row[None])[0]))(x)
    torch.testing.assert_close(backbone.log_abs_det(x), torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_finite_far_away_in_both_directions(name, dtype):
    backbone = perturbed(name, 5, dtype)
    far = 1e6 * torch.randn(64, 5, dtype=dtype)
    with torch.no_grad():
        assert backbone(far).isfinite().all()
        assert backbone.inverse(far).isfinite().all()


@pytest.mark.parametrize("permutation", ["aligned", "soft", "hard"])
def test_rotations_stay_orthogonal_when_cast(permutation):
    backbone = Coupling(8, blocks=3, permutation=permutation).double()
    for block in backbone.blocks:
        gram = block.rotation.T @ block.rotation
        torch.testing.assert_close(gram, torch.eye(8, dtype=torch.float64), atol=1e-13, rtol=0)
        assert torch.linalg.det(block.rotation).abs() == pytest.approx(1)


def test_aligned_rotations_cancel():
    backbone = Coupling(6, blocks=5).double()
    product = torch.eye(6, dtype=torch.float64)
    for block in backbone.blocks:
        product = block.rotation @ product
    torch.testing.assert_close(product, torch.eye(6, dtype=torch.float64), atol=1e-5, rtol=0)


def test_one_block_is_the_papers_formula():
    backbone = Coupling(3, blocks=1, width=4, permutation="soft", horizon=None).double()
    block = backbone.blocks[0]
    with torch.no_grad():
        block.scale += torch.tensor([0.3, -1.0, 2.0])
        block.shift += torch.tensor([0.5, -0.2, 0.1])
        block.subnet[2].weight *= 20
    x = torch.tensor([[0.3, -1.2, 0.8]], dtype=torch.float64)
    first, _, second = block.subnet
    a = 0.1 * second(torch.relu(first(x[:, :2])))  # two passive channels, one active
    s, t = 2 * torch.tanh(a[:, :1] / 2), a[:, 1:]
    u = torch.cat([x[:, :2], x[:, 2:] * s.exp() + t], dim=1)
    v = u * 0.2 * torch.log(1 + torch.exp(block.scale / 2)) + block.shift
    torch.testing.assert_close(backbone(x), v @ block.rotation.T)


def test_fresh_global_affine_does_nothing():
    block = Coupling(4, blocks=1).double().blocks[0]
    scale = 0.2 * torch.log(1 + torch.exp(block.scale / 2))
    torch.testing.assert_close(scale, torch.ones(4, dtype=torch.float64), atol=1e-7, rtol=0)


def test_state_dict_round_trip():
    one, other = Coupling(4, blocks=2), Coupling(4, blocks=2)
    other.load_state_dict(one.state_dict())
    x = torch.randn(8, 4)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"blocks": 0}, "blocks"),
        ({"width": 0}, "width"),
        ({"clamp": 0.0}, "clamp"),
        ({"clamp": math.nan}, "clamp"),
        ({"horizon": -1.0}, "horizon"),
        ({"permutation": "none"}, "permutation"),
    ],
)
def test_bad_options_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        Coupling(2, **options)


def test_dimension_must_be_positive():
    with pytest.raises(ValueError, match="dim"):
        Coupling(0)
