import normflows as nf
import pytest
import torch
import zuko
from zuko.transforms import AutoregressiveTransform

from compactflow import from_normflows, from_zuko
from compactflow.backbones.autoregressive import Autoregressive
from compactflow.backbones.base import ConvergenceError
from compactflow.plugins import registry


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
