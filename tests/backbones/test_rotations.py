"""Rotations of many features: reflections that take no matrix."""

import pytest
import torch

from compactflow.backbones.coupling import Coupling
from compactflow.backbones.rotations import reflect

DIMS = [1, 2, 3, 4, 5, 300]


@pytest.mark.parametrize("dim", DIMS)
def test_a_reflection_is_two_hartley_transforms_around_signs(dim):
    signs = torch.randint(2, (dim,)).double() * 2 - 1
    k = torch.arange(dim, dtype=torch.float64)
    angle = 2 * torch.pi * torch.outer(k, k) / dim
    hartley = (angle.cos() + angle.sin()) / dim**0.5
    x = torch.randn(7, dim, dtype=torch.float64)
    torch.testing.assert_close(reflect(x, signs), x @ (hartley * signs) @ hartley)


@pytest.mark.parametrize("dim", DIMS)
def test_a_reflection_is_orthogonal_and_its_own_inverse(dim):
    signs = torch.randint(2, (dim,)).double() * 2 - 1
    eye = torch.eye(dim, dtype=torch.float64)
    matrix = reflect(eye, signs)
    torch.testing.assert_close(matrix @ matrix.T, eye, atol=1e-13, rtol=0)
    torch.testing.assert_close(matrix @ matrix, eye, atol=1e-13, rtol=0)


def test_a_gradient_passes_a_reflection():
    signs = torch.tensor([1.0, -1, -1, 1, -1], dtype=torch.float64)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reflect(x, signs), x)
    assert torch.autograd.gradgradcheck(lambda x: reflect(x, signs).square(), x)


def test_the_reflections_of_a_flow_cancel():
    backbone = Coupling(6, blocks=5, permutation="hartley").double()
    x = turned = torch.randn(4, 6, dtype=torch.float64)
    for block in backbone.blocks:
        turned = reflect(turned, block.rotation)
    torch.testing.assert_close(turned, x)


@pytest.mark.parametrize(("dim", "permutation"), [(256, "aligned"), (257, "hartley")])
def test_auto_takes_matrices_up_to_256_features(dim, permutation):
    made = []
    for chosen in ("auto", permutation):
        torch.manual_seed(0)
        made.append(Coupling(dim, blocks=2, width=1, permutation=chosen).state_dict())
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[1])


def test_numbers_of_a_wide_flow_grow_with_its_features_alone():
    sizes = [
        sum(tensor.numel() for tensor in Coupling(dim, blocks=8, width=64).state_dict().values())
        for dim in (1000, 2000)
    ]
    assert sizes[1] < 2 * sizes[0] < 2 * 8 * 1000 * (1.5 * 64 + 5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_a_wide_flow_decodes_what_it_encodes(dtype, tolerance):
    backbone = Coupling(600, blocks=8, width=16)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        backbone = backbone.to(dtype)
        x = torch.randn(16, 600, dtype=dtype)
        z = backbone(x)
        assert (backbone.inverse(z) - x).abs().max() < tolerance
        assert (z - x).abs().mean() > 0.1
