import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.flows.flow import CompactFlow
from compactflow.flows.neighbours import Neighbours
from compactflow.flows.sampling import Settled, Varied, _repeated
from compactflow.latents.cube import Cube
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.barriers import Barrier

SMALL = {"backbone_options": {"blocks": 2, "width": 8}, "max_steps": 3, "random_state": 0}


def data(n=300):
    """Correlated columns, a count and a rare flag."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3)) @ [[1, 0.9, 0], [0, 0.5, 0], [0, 0, 40.0]]
    return np.c_[X, rng.poisson(2, n), rng.random(n) < 0.1]


@pytest.fixture(scope="module")
def detector():
    return compactflow.build(**SMALL, members=1).fit(data())


def test_samples_have_the_moments_of_the_inliers(detector):
    X, samples = data(), detector.sample(2000, random_state=0, inside=False)
    np.testing.assert_allclose(samples.std(axis=0)[:4], X.std(axis=0)[:4], rtol=0.12)
    assert (np.abs(samples.mean(axis=0) - X.mean(axis=0)) < 0.12 * X.std(axis=0)).all()
    np.testing.assert_allclose(np.corrcoef(samples.T)[0, 1], np.corrcoef(X.T)[0, 1], atol=0.05)


def test_draws_spread_as_far_as_reference_rows_that_are_far_apart():
    flow, neighbours = CompactFlow(Coupling(8, blocks=2), Cube(8)).double(), Neighbours(8, rows=60)
    neighbours.double().fit(torch.randn(60, 8).double(), flow.backbone)
    x = Varied(flow, neighbours, None).draw(6000, torch.Generator().manual_seed(0))
    wanted = neighbours.latents.std(dim=0, correction=0)
    torch.testing.assert_close(flow.encode(x).std(dim=0), wanted, rtol=0.05, atol=0)


class Bent(Preprocessing):
    """The map whose inverse bends columns upwards."""

    def fit(self, X, *, member=0):
        pass

    def forward(self, x):
        return torch.asinh(x) / 1.2

    def inverse(self, y):
        return torch.sinh(1.2 * y)

    def log_abs_det(self, x):
        return -torch.log(1.2 * torch.hypot(x, torch.ones_like(x))).sum(dim=1)


def test_columns_of_draws_spread_as_far_as_those_of_the_rows_though_the_map_is_curved():
    generator = torch.Generator().manual_seed(0)
    corners = (
        torch.randint(2, (60, 6), generator=generator).double() * 2 - 1
    )  # draws fill the middle
    y = corners + 0.05 * torch.randn(60, 6, generator=generator).double()
    flow = CompactFlow(Coupling(6, blocks=1, permutation="hard"), Cube(6), Bent(6)).double()
    neighbours = Neighbours(6, rows=60).double()
    neighbours.fit(y, flow.backbone)
    with torch.no_grad():
        drawn = Varied(flow, neighbours, None).draw(6000, generator)
    ratio = drawn.std(dim=0) / torch.sinh(1.2 * y).std(dim=0)
    assert ratio.median() == pytest.approx(1, abs=0.04)


def test_columns_that_repeat_take_known_values_and_rows_are_new(detector):
    X, samples = data(), detector.sample(500, random_state=0)
    assert set(np.unique(samples[:, 3])) <= set(np.unique(X[:, 3]))
    assert set(np.unique(samples[:, 4])) == {0, 1}
    assert not np.isin(samples[:, 0], X[:, 0]).any()


def test_repeated_values_are_those_of_the_rows_around():
    generator = torch.Generator().manual_seed(0)
    code = torch.tensor([0.0, 1.0, 2.0]).repeat_interleave(20)  # three clusters, by their code
    rows = torch.stack([9 * (code - 1).square() + torch.rand(60, generator=generator), code], 1)
    flow, neighbours = CompactFlow(Coupling(2, blocks=1), Cube(2)).double(), Neighbours(2, rows=60)
    neighbours.double().fit(rows.double(), flow.backbone)
    drawn = Varied(flow, neighbours, None).draw(600, generator)
    assert set(drawn[:, 1].tolist()) == {0.0, 1.0, 2.0}
    assert ((drawn[:, 0] < 5) == (drawn[:, 1] == 1)).all()


def test_known_values_are_without_what_single_precision_adds():
    column = torch.tensor([0.0, 1e-3, 1e-3 + 1e-11, 2e-3, 2e-3]).double()
    tied, known = _repeated(torch.stack([column, torch.arange(5.0), 0 * column + 0.3], dim=1))
    assert tied.tolist() == [0, 2]
    assert known[:, 0].tolist() == [0, 1e-3, 1e-3, 2e-3, 2e-3]
    assert known[:, 1].tolist() == [0.3] * 5
    thirds = torch.tensor([1, 1, 2, 2]).double()[:, None] / 3
    assert torch.equal(_repeated(thirds)[1], thirds)


def test_each_reference_row_serves_once_before_any_again():
    flow, neighbours = CompactFlow(Coupling(2, blocks=2), Cube(2)).double(), Neighbours(2, rows=40)
    x = 10 * torch.arange(40.0).double()[:, None].repeat(1, 2)
    neighbours.double().fit(x, flow.backbone)
    varied = Varied(flow, neighbours, None)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([varied._next(8, generator) for _ in range(5)])
    assert drawn.sort().values.tolist() == list(range(40))


@pytest.mark.parametrize("score_by", ["neighbours", "support"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("boundary", [0.5, 0.95])
def test_samples_are_inside_unless_asked_otherwise(score_by, members, boundary):
    detector = compactflow.build(
        **SMALL, members=members, score_by=score_by, boundary=boundary
    ).fit(data())
    for n in (1, 300):
        assert (detector.predict(detector.sample(n, random_state=0)) == 1).all()
    assert (detector.predict(detector.sample(500, 0, inside=False)) == -1).any()


def test_a_boundary_that_leaves_nothing_is_refused(detector):
    for ensemble in (
        detector.ensemble_,
        compactflow.build(**SMALL, members=2, score_by="support").fit(data()).ensemble_,
    ):
        with pytest.raises(ValueError, match="level"):
            ensemble.at(-100.0).sample(3, 0)


def test_a_single_flow_samples_its_own_support_however_small():
    flow = CompactFlow(Coupling(12, blocks=2), Cube(12)).double()
    settled = Settled(flow, Barrier(flow.latent), flow.signed_distance, entropic=True, level=0.0)
    x = settled.draw(20, torch.Generator().manual_seed(0))
    assert (flow.signed_distance(x) <= 0).all()
    free = settled._pull.settle(5000, torch.Generator().manual_seed(0))
    assert (flow.latent.signed_distance(free) <= 0).double().mean() < 0.05


@pytest.mark.parametrize(("push", "entropic"), [("stein", True), ("mirror", False)])
def test_latents_are_drawn_from_where_the_push_leaves_them(push, entropic, tmp_path):
    pull = "barrier" if entropic else "max-abs"
    detector = compactflow.build(**SMALL, members=1, push=push, pull=pull, boundary="bare").fit(
        data()
    )
    detector.save(tmp_path / "model")
    for same in (detector, compactflow.load(tmp_path / "model", device="cpu")):
        beyond = np.abs(same.ensemble_.sample_latents(500, 0)).max() > 1
        assert beyond == entropic
