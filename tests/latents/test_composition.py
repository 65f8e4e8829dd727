"""Latents made of others, in a detector by their names."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow import testing
from compactflow.latents.ball import Ball
from compactflow.latents.composition import Affine, Product
from compactflow.latents.cube import Cube
from compactflow.latents.gaussian import Gaussian
from compactflow.testing.diamond import Diamond

pytestmark = pytest.mark.filterwarnings(
    "ignore::compactflow.detector.calibration.CalibrationWarning"
)

PARTS = {"parts": ["cube", "ball"]}
X = np.random.default_rng(0).normal(size=(60, 3))


def build(**options):
    return compactflow.build(max_steps=2, members=2, random_state=0, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("product", PARTS),
        ("affine", {"of": "ball", "scale": 3.0, "shift": 2}),
    ],
)
def test_they_conform(name, options):
    results = testing.check_latent(name, options=options)
    bad = [result for result in results if result.status not in ("passed", "skipped")]
    assert not bad


def test_a_product_is_inside_where_all_parts_are():
    latent = Product(5, parts=[Cube, Diamond], sizes=[2, None]).double()
    z = 2 * torch.randn(500, 5).double()
    cube, diamond = Cube(2).double(), Diamond(3).double()
    one, other = cube.signed_distance(z[:, :2]), diamond.signed_distance(z[:, 2:])
    assert torch.equal(latent.signed_distance(z) <= 0, (one <= 0) & (other <= 0))
    both = (one > 0) & (other > 0)
    torch.testing.assert_close(latent.signed_distance(z)[both], (one + other)[both])
    expected = cube.log_prob(z[:, :2]) + diamond.log_prob(z[:, 2:])
    torch.testing.assert_close(latent.log_prob(z), expected)
    assert latent.edge == min(cube.edge, diamond.edge)


@pytest.mark.parametrize(
    ("sizes", "dim", "expected"),
    [(None, 5, [3, 2]), (None, 1, [1]), ([1, None], 4, [1, 3]), ([2, 3], 5, [2, 3])],
)
def test_sizes_are_shared_out(sizes, dim, expected):
    assert Product(dim, parts=[Cube, Ball], sizes=sizes).sizes == expected


def test_a_product_of_cubes_is_a_cube():
    product, cube = Product(4, parts=[Cube, Cube]), Cube(4)
    z = 2 * torch.randn(100, 4)
    for method in ("signed_distance", "gauge", "project", "log_prob", "constraints"):
        torch.testing.assert_close(getattr(product, method)(z), getattr(cube, method)(z))


def test_affine_moves_and_scales_distances():
    latent = Affine(2, of=Cube, scale=3.0, shift=[5.0, 0.0])
    z = torch.tensor([[5.0, 0.0], [8.0, 0.0], [12.0, 7.0]])
    torch.testing.assert_close(latent.signed_distance(z), torch.tensor([-3.0, 0.0, 8.0]))
    torch.testing.assert_close(latent.project(z)[2], torch.tensor([8.0, 3.0]))
    with pytest.raises(NotImplementedError, match="star-shaped"):
        latent.gauge(z)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Product(3, parts=[]), "at least one latent"),
        (lambda: Product(3, parts=[Cube, Ball], sizes=[1]), "sizes must be 2 numbers"),
        (lambda: Product(3, parts=[Cube, Ball], sizes=[None, None]), "one of which may be None"),
        (lambda: Product(3, parts=[Cube, Ball], sizes=[2, 2]), "do not share out 3"),
        (lambda: Product(3, parts=[Cube, Gaussian]), "Gaussian cannot be part"),
        (lambda: Affine(3, of=Cube, scale=0), "scale must be positive"),
        (lambda: Affine(3, of=Cube, shift=[1.0]), "shift must be a finite number or 3"),
    ],
)
def test_what_cannot_be_composed_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parts_fit_themselves_to_their_coordinates():
    class Centred(Affine.__mro__[1]):
        """A cube around the mean of the data."""

        def __init__(self, dim):
            super().__init__(dim)
            self.register_buffer("mean", torch.zeros(dim))

        def adapt(self, x):
            self.mean = x.mean(dim=0)
            return self.mean.expand_as(x)

        def sample(self, n, generator=None):
            return self.mean + Cube(self.dim).sample(n, generator)

        def constraints(self, z):
            return (z - self.mean).abs() - 1

        project = boundary = log_prob = None

    latent = Product(3, parts=[Ball, Centred], sizes=[1, 2])
    x = torch.randn(20, 3) + 5
    anchors = latent.adapt(x)
    torch.testing.assert_close(latent.parts[1].mean, x[:, 1:].mean(dim=0))
    assert torch.equal(anchors[:, 0], x[:, 0])
    moved = Affine(2, of=Centred, scale=2.0)
    torch.testing.assert_close(moved.adapt(x[:, 1:]), x[:, 1:].mean(dim=0).expand(20, 2))


@pytest.mark.parametrize(
    "options",
    [
        {"latent": "product", "latent_options": {"parts": ["cube", "ball"], "sizes": [2, 1]}},
        {
            "latent": "affine",
            "latent_options": {
                "of": {"name": "product", "options": {"parts": [Ball, "cube"]}},
                "shift": [1.0, 0.0, -1.0],
            },
        },
        {"backbone": ["coupling", {"name": "autoregressive", "options": {"layers": 1}}]},
    ],
    ids=["product", "affine", "chain"],
)
def test_a_detector_of_nested_parts_is_saved_and_loaded(options, tmp_path):
    detector = build(**options).fit(X)
    detector.save(tmp_path / "m")
    loaded = compactflow.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))
    np.testing.assert_array_equal(loaded.fit(X).signed_distance(X), detector.signed_distance(X))
    described = detector.ensemble_.latent
    assert type(loaded.ensemble_.latent) is type(described)


def test_unknown_parts_are_refused_at_once():
    with pytest.raises(ValueError, match="no latent 'qube'"):
        build(latent="product", latent_options={"parts": ["qube"]})
    with pytest.raises(ValueError, match="latent_options do not fit Ball"):
        build(
            latent="product",
            latent_options={"parts": [{"name": "ball", "options": {"radius": 2}}]},
        )
    with pytest.raises(ValueError, match=r"latent_options do not fit Product: .*parts"):
        build(latent="product")
