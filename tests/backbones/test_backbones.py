import itertools
import math

import normflows as nf
import pytest
import torch
import zuko
from torch.nn.functional import softplus
from zuko.transforms import AutoregressiveTransform

from compactflow import from_normflows, from_zuko
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import ConvergenceError
from compactflow.backbones.coupling import Coupling
from compactflow.backbones.iresnet import IResNet, spectral_bound
from compactflow.backbones.solvers import picard
from compactflow.backbones.stacking import stack_modules
from compactflow.plugins import registry
from compactflow.testing import check_backbone
from compactflow.training.stack import Stack

CONSTRUCTORS = {
    "aligned": lambda dim: Coupling(dim, blocks=4, width=16),
    "soft": lambda dim: Coupling(dim, blocks=4, width=16, permutation="soft"),
    "hard": lambda dim: Coupling(dim, blocks=4, width=16, permutation="hard"),
    "hartley": lambda dim: Coupling(dim, blocks=4, width=16, permutation="hartley"),
    "additive": lambda dim: Coupling(dim, transform="additive", blocks=4, width=16),
    "volume-preserving": lambda dim: Coupling(
        dim, transform="volume-preserving", blocks=4, width=16
    ),
    "spline": lambda dim: Coupling(dim, transform="spline", blocks=4, width=16),
    "relu": lambda dim: Coupling(dim, blocks=4, width=16, activation="relu", horizon=1.0),
    "paper": lambda dim: Coupling(dim, permutation="soft", activation="relu"),
    "autoregressive": lambda dim: Autoregressive(dim, layers=3, width=16),
    "autoregressive-spline": lambda dim: Autoregressive(
        dim, transform="spline", layers=3, width=16
    ),
    "iresnet": lambda dim: IResNet(dim, blocks=4, width=16),
    **{
        name: registry.load("backbone", name)
        for name in ("zuko:NICE", "zuko:MAF", "zuko:NSF", "normflows:RealNVP")
    },
}
DIMS = [1, 2, 5]
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def perturbed(name, dim, dtype):
    backbone = CONSTRUCTORS[name](dim)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return backbone.to(dtype)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [("coupling", {"blocks": 4, "width": 16}), ("autoregressive", {"layers": 2, "width": 16})],
)
def test_splines_conform(name, options):
    options |= {"transform": "spline"}
    assert all(result.status == "passed" for result in check_backbone(name, options=options))


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
    backbone = Coupling(3, blocks=1, width=4, permutation="soft", activation="relu").double()
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


def test_volume_preserving_log_det_is_the_same_everywhere():
    backbone = perturbed("volume-preserving", 6, torch.float64)
    log_det = backbone.log_abs_det(3 * torch.randn(64, 6, dtype=torch.float64))
    assert log_det.std() < 1e-12
    additive = perturbed("additive", 6, torch.float64)
    assert additive.log_abs_det(torch.randn(64, 6, dtype=torch.float64)).std() < 1e-12


@pytest.mark.parametrize("make", [Coupling, Autoregressive])
def test_a_fresh_spline_is_the_identity_and_a_trained_one_is_not_affine(make):
    backbone = make(1, transform="spline").double()
    x = torch.linspace(-4, 4, 41).double()[:, None]
    torch.testing.assert_close(backbone(x).diff(dim=0).std(dim=0), torch.zeros(1).double())
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 5 * torch.randn_like(parameter)
        slopes = backbone(x).diff(dim=0)
    assert (slopes > 0).all()
    assert slopes.max() > 1.2 * slopes.min()


@pytest.mark.parametrize("transform", ["affine", "spline"])
def test_autoregressive_inverse_is_zukos(transform):
    backbone = Autoregressive(6, transform=transform, layers=1, width=32).double()
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter *= 3
    layer = backbone.layers[0]

    class Channel(torch.distributions.Transform):
        domain = codomain = torch.distributions.constraints.independent(
            torch.distributions.constraints.real, 1
        )
        bijective = True

        def __init__(self, parameters):
            super().__init__()
            self.parameters = parameters

        def _call(self, x):
            return layer.transform.forward(x, self.parameters)[0]

        def _inverse(self, y):
            return layer.transform.inverse(y, self.parameters)

    zukos = AutoregressiveTransform(lambda x: Channel(layer._predict(x)), passes=6)
    z = 2 * torch.randn(64, 6, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(z), zukos(z))
        torch.testing.assert_close(backbone.inverse(z), zukos.inv(z))
    assert backbone.iterations[0] <= 7


def test_a_whole_zuko_flow_runs_data_to_latent():
    flow = zuko.flows.NSF(3, transforms=1, hidden_features=(8,))
    x = torch.randn(16, 3)
    backbone = from_zuko(flow)
    assert backbone.dim == 3
    torch.testing.assert_close(backbone(x), flow.transform()(x))
    assert len(list(backbone.parameters())) == len(list(flow.parameters())) > 0


def test_a_torch_transform_becomes_a_backbone():
    backbone = from_zuko(torch.distributions.AffineTransform(1.0, 2.0), dim=2)
    x = torch.randn(4, 2)
    torch.testing.assert_close(backbone(x), 2 * x + 1)
    torch.testing.assert_close(backbone.inverse(2 * x + 1), x)


def test_a_whole_normflows_flow_is_turned_round():
    layers = [nf.flows.LULinearPermute(3), nf.flows.AffineConstFlow((3,))]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(3), layers)
    backbone = from_normflows(flow)
    x = torch.randn(16, 3)
    assert backbone.dim == 3
    torch.testing.assert_close(backbone(x), flow.inverse(x))
    torch.testing.assert_close(backbone.inverse(x), flow.forward(x))
    expected = flow.q0.log_prob(backbone(x)) + backbone.log_abs_det(x)
    torch.testing.assert_close(flow.log_prob(x), expected)


def test_a_spline_of_normflows():
    backbone = registry.load("backbone", "normflows:NSF")(4).double()
    x = torch.randn(16, 4).double()
    torch.testing.assert_close(backbone.inverse(backbone(x)), x)


def test_a_failing_inverse_of_normflows_is_a_convergence_error():
    class Layer(nf.flows.Flow):
        def forward(self, z):
            raise AssertionError

    with pytest.raises(ConvergenceError, match="4 rows"):
        from_normflows(Layer(), dim=2).inverse(torch.zeros(4, 2))


@pytest.mark.parametrize("name", ["normflows:NSF", "normflows:MAF"])
def test_one_feature_is_too_few_for_some_of_normflows(name):
    with pytest.raises(ValueError, match="at least 2 features"):
        registry.load("backbone", name)(1)


@pytest.mark.parametrize(
    ("call", "error", "word"),
    [
        (lambda: from_zuko("NSF"), TypeError, "flow"),
        (lambda: from_zuko(zuko.flows.NSF(3).transform), ValueError, "dim"),
        (lambda: from_normflows([torch.nn.Linear(2, 2)]), TypeError, "flow"),
        (lambda: from_normflows([]), TypeError, "flow"),
        (lambda: from_normflows(nf.flows.LULinearPermute(3)), ValueError, "dim"),
    ],
)
def test_what_is_no_flow_is_refused(call, error, word):
    with pytest.raises(error, match=word):
        call()


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (64, 64), (128, 7)])
def test_spectral_bound_is_tight_and_above(shape):
    weight = torch.randn(shape) * 10 ** torch.empty(()).uniform_(-6, 6)
    exact = torch.linalg.svdvals(weight.double())[0]
    assert exact <= spectral_bound(weight) <= 1.09 * exact


def test_spectral_bound_has_the_gradient_of_its_differences():
    weight = torch.randn(7, 5, dtype=torch.float64)
    direction = torch.randn_like(weight)
    gradient = torch.func.grad(spectral_bound)(weight)
    step = 1e-6 * direction
    expected = (spectral_bound(weight + step) - spectral_bound(weight - step)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-6, atol=0)


def test_spectral_bound_of_extremes():
    assert spectral_bound(torch.zeros(3, 3)) < 1e-6
    assert 1 <= spectral_bound(torch.eye(128)) < 1.09


def test_lipschitz_bound_holds_after_every_step():
    backbone = IResNet(4, blocks=2, width=16, lipschitz=0.8)
    optimizer = torch.optim.SGD(backbone.parameters(), lr=3.0)
    for _ in range(30):
        x = torch.randn(32, 4)
        loss = -(backbone(x) ** 2).mean() + (backbone(x) ** 4).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(backbone.parameters(), 1.0)
        optimizer.step()
        for block in backbone.blocks:
            norms = [torch.linalg.svdvals(w.double())[0] for w, _ in block.weights()]
            # The activation's slope, at most 1.1, acts twice; the weights are divided by it.
            assert 1.1**2 * math.prod(norms) <= 0.8
    with torch.no_grad():
        a, b = 5 * torch.randn(2, 1000, 4)
        for block in backbone.blocks:
            unscaled = [(block(t) - block.shift) / softplus(block.scale) - t for t in (a, b)]
            ratio = (unscaled[0] - unscaled[1]).norm(dim=1) / (a - b).norm(dim=1)
            assert ratio.max() <= 0.8 + 1e-5


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
