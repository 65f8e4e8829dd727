import itertools
import math

import pytest
import torch
from constructors import CONSTRUCTORS, TOLERANCE, perturbed

from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import ConvergenceError
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.iresnet import IResNet
from compactflow.backbones.solvers import picard
from compactflow.backbones.stacking import stack_modules
from compactflow.training.stack import Stack

DIMS = [1, 2, 5]


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_an_empty_batch_maps_to_an_empty_one(name, dim):
    backbone = perturbed(name, dim, torch.float64)
    x = torch.zeros(0, dim, dtype=torch.float64)
    for network in (backbone, Stack([backbone, backbone])):
        z, divergence = network.forward_and_divergence(x, 0.1)
        for rows in (network(x), network.inverse(x), network.inverse(x, start=x), z):
            assert rows.shape == (0, dim)
        assert network.recode(x).shape == (0, dim)
        assert network.log_abs_det(x).shape == divergence.shape == (0,)


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


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_both_from_one_pass_are_those_of_two(name, dim):
    backbone = perturbed(name, dim, torch.float64)
    x = torch.randn(16, dim, dtype=torch.float64)
    z, log_abs_det = backbone.forward_and_log_abs_det(x)
    torch.testing.assert_close(z, backbone(x))
    torch.testing.assert_close(log_abs_det, backbone.log_abs_det(x))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_recoding_has_the_gradient_of_encoding_what_was_decoded(name, dim):
    backbone = perturbed(name, dim, torch.float64)
    z, weight = torch.randn(2, 16, dim, dtype=torch.float64)
    parameters = list(backbone.parameters())
    recoded = backbone.recode(z)
    found = torch.autograd.grad((weight * recoded).sum(), parameters)
    with torch.no_grad():
        x = backbone.inverse(z)
    expected = torch.autograd.grad((weight * backbone(x)).sum(), parameters)
    torch.testing.assert_close(recoded, z)
    torch.testing.assert_close(found, expected)


def gradients_of_divergence_and_log_det(backbone, sigma):
    """Those for parameters, and after them inputs, of a loss that depends on the latents too."""
    x, weight = torch.randn(2, 16, backbone.dim, dtype=torch.float64)
    x.requires_grad_()

    def gradient(z, log_abs_det):
        loss = (weight * z).sum(dim=1).mean() - log_abs_det.mean()
        gradients = torch.autograd.grad(loss, [*backbone.parameters(), x])
        return torch.cat([each.flatten() for each in gradients])

    z, divergence = backbone.forward_and_divergence(x, sigma)
    torch.testing.assert_close(z, backbone(x))
    assert divergence.shape == (len(x),)
    return gradient(z, divergence), gradient(*backbone.forward_and_log_abs_det(x))


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(
    "name", ["aligned", "additive", "volume-preserving", "relu", "autoregressive"]
)
def test_divergence_of_affine_couplings_has_the_gradient_of_the_log_det(name, dim):
    found, exact = gradients_of_divergence_and_log_det(perturbed(name, dim, torch.float64), 0.5)
    torch.testing.assert_close(found, exact)


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


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_state_dict_round_trip(name):
    one, other = (CONSTRUCTORS[name](4) for _ in range(2))
    other.load_state_dict(one.state_dict())
    x = torch.randn(8, 4)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_far_points_still_move_apart(name):
    backbone = perturbed(name, 3, torch.float64)
    far = 1e3 * torch.randn(64, 3, dtype=torch.float64)
    with torch.no_grad():
        stretch = (backbone(2 * far) - backbone(far)).norm(dim=1) / far.norm(dim=1)
    assert (stretch > 1e-4).all()


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_a_start_does_not_change_the_inverse(name):
    backbone = perturbed(name, 4, torch.float64)
    z = torch.randn(32, 4, dtype=torch.float64)
    with torch.no_grad():
        x = backbone.inverse(z)
        torch.testing.assert_close(backbone.inverse(z, start=torch.zeros_like(z)), x)
        torch.testing.assert_close(backbone.inverse(z, start=x), x)


@pytest.mark.parametrize("name", ["autoregressive", "iresnet"])
def test_a_near_start_saves_iterations(name):
    backbone = perturbed(name, 8, torch.float64)
    x = torch.randn(32, 8, dtype=torch.float64)
    with torch.no_grad():
        z = backbone(x)
    backbone.inverse(z)
    cold = sum(backbone.iterations)
    backbone.inverse(z, start=x)
    assert sum(backbone.iterations) < cold


def test_an_inverse_that_does_not_converge_says_which_rows():
    backbone = IResNet(3, blocks=1, width=8, lipschitz=0.99, max_iterations=1)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += torch.randn_like(parameter)
    z = torch.randn(4, 3)
    with pytest.raises(ConvergenceError, match=r"4 rows \(0, 1, 2, 3\) in 1 iterations"):
        backbone.inverse(z)


@pytest.mark.parametrize("networks", [1, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"permutation": "hartley"}, {"activation": "relu", "horizon": 2.0}, {"clamp": 0.5}],
)
def test_gradients_by_hand_are_those_of_the_graph(options, networks):
    made = [Coupling(5, blocks=3, width=8, **options).double() for _ in range(networks)]
    with torch.no_grad():
        for parameter in itertools.chain.from_iterable(one.parameters() for one in made):
            parameter += 0.3 * torch.randn_like(parameter)
    backbone = made[0] if networks == 1 else stack_modules(made)
    shape = (7, 5) if networks == 1 else (networks, 7, 5)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    z, log_abs_det = backbone.forward_and_log_abs_det(x)
    assert type(z.grad_fn).__name__ == "EncodeBackward"
    y, total = x, 0
    for block in backbone.blocks:
        y, log_slopes = block(y)
        total = total + log_slopes.sum(dim=-1) + block.global_scale().log().sum(dim=-1)
    at_z, at_total = torch.randn_like(y), torch.randn_like(total)
    wanted = [x, *backbone.parameters()]
    own = torch.autograd.grad([z, log_abs_det], wanted, [at_z, at_total])
    graph = torch.autograd.grad([y, total], wanted, [at_z, at_total])
    torch.testing.assert_close((z, log_abs_det, *own), (y, total, *graph))


def test_a_fixed_point_is_that_of_each_row_however_long_others_take():
    matrix = torch.linalg.qr(torch.randn(3, 3).double())[0] * 0.95
    target = torch.randn(20, 3).double()
    exact = torch.linalg.solve((torch.eye(3).double() + matrix).T, target.T).T

    def step(x, rows):
        return target[rows] - x @ matrix

    start = torch.zeros_like(target)
    start[::2] = exact[::2]  # which are left out before the others are done
    found, _ = picard(step, start, max_iterations=2000)
    torch.testing.assert_close(found, exact)
    rough, iterations = picard(step, start, max_iterations=2000, accuracy=1e-3)
    assert 1e-6 < (rough - exact).abs().max() < 0.1
    assert iterations < 200


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"blocks": 0}, "blocks"),
        ({"width": 0}, "width"),
        ({"clamp": 0.0}, "clamp"),
        ({"clamp": math.nan}, "clamp"),
        ({"horizon": -1.0}, "horizon"),
        ({"permutation": "none"}, "permutation"),
        ({"activation": "elu"}, "activation"),
        ({"transform": "cubic"}, "transform"),
        ({"bins": 1, "transform": "spline"}, "bins"),
        ({"bound": 0.0, "transform": "spline"}, "bound"),
    ],
)
def test_bad_options_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        Coupling(2, **options)


@pytest.mark.parametrize(
    ("make", "options", "word"),
    [
        (Autoregressive, {"layers": 0}, "layers"),
        (Autoregressive, {"horizon": 0.0}, "horizon"),
        (IResNet, {"blocks": 0}, "blocks"),
        (IResNet, {"lipschitz": 1.0}, "lipschitz"),
        (IResNet, {"max_iterations": 0}, "max_iterations"),
    ],
)
def test_bad_options_of_iterative_backbones_are_named(make, options, word):
    with pytest.raises(ValueError, match=word):
        make(2, **options)


def test_dimension_must_be_positive():
    with pytest.raises(ValueError, match="dim"):
        Coupling(0)
