"""Scores of one's own and those that come with it: each has its boundary where it is to be."""

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.flows.ensemble import Ensemble
from compactflow.flows.nearness import Nearness
from compactflow.flows.scores import Blend, Density, Quantile, Score, Support
from compactflow.latents.ball import Ball
from compactflow.preprocessing.linear import Identity
from compactflow.pulls.norms import Euclidean
from compactflow.training.holdout import HoldOut

pytestmark = pytest.mark.filterwarnings(
    "ignore::compactflow.detector.calibration.CalibrationWarning"
)

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(300, 2)), RNG.normal(size=(2000, 2))
SMALL = {"backbone_options": {"blocks": 2, "width": 8}, "max_steps": 10, "random_state": 0}


class FromCentre(Score):
    """With state of a shape that the data decide."""

    def __init__(self, dim):
        super().__init__(dim)
        self.register_buffer("kept", None)

    def fit(self, flow, pull, x):
        self.kept = flow(x[:7])

    def forward(self, flow, pull, x):
        return (flow(x) - self.kept.mean(dim=0)).norm(dim=1)


def fitted(score, members=2, **options):
    return compactflow.build(
        score_by=score, members=members, boundary=0.8, **SMALL, **options
    ).fit(X)


@pytest.mark.parametrize(
    ("score", "options"),
    [
        (FromCentre, None),
        (FromCentre(2), None),
        ("density", None),
        ("blend", {"of": ["neighbours", "support", "density"], "weights": [2, 1, 1]}),
        ("quantile", {"of": {"name": "support"}, "q": 1.0}),
    ],
    ids=["class", "instance", "density", "blend", "quantile"],
)
def test_zero_keeps_the_share_of_inliers(score, options, tmp_path):
    detector = fitted(score, score_options=options, members=4, validation_fraction=0.3)
    inside = detector.signed_distance(NEW) <= 0
    assert 0.7 < inside.mean() < 0.9
    assert (detector.signed_distance(NEW + 20) > 0).all()
    assert np.array_equal(inside, detector.predict(NEW) == 1)
    if isinstance(score, str):
        detector.save(tmp_path / "m")
        loaded = compactflow.load(tmp_path / "m")
        np.testing.assert_array_equal(loaded.signed_distance(NEW), detector.signed_distance(NEW))
        assert (loaded.score_by, loaded.ensemble_.level) == (score, detector.ensemble_.level)


def test_state_of_any_shape_is_loaded():
    detector = fitted(FromCentre)
    fresh = FromCentre(2)
    fresh.load_state_dict(detector.ensemble_.scores[0].state_dict())
    assert fresh.kept.shape == (7, 2)


def test_scores_are_what_they_say():
    detector = fitted("support", members=1)
    flow, pull, x = detector.flow_, detector.pull_, torch.from_numpy(NEW[:50])
    assert torch.equal(Support(2)(flow, pull, x), flow.signed_distance(x))
    assert torch.equal(Density(2)(flow, pull, x), -flow.log_density(pull, x))
    blend = Blend(2, of=[Support, Density], weights=[3, 1]).double()
    blend.fit(flow, pull, torch.from_numpy(X))
    parts = []
    for score in (Support(2), Density(2)):
        own = score(flow, pull, torch.from_numpy(X))
        parts.append((score(flow, pull, x) - own.median()) / (own.quantile(0.95) - own.median()))
    torch.testing.assert_close(blend(flow, pull, x), 0.75 * parts[0] + 0.25 * parts[1])


def test_a_quantile_counts_over_the_flows():
    ensemble = fitted("quantile", score_options={"of": "support", "q": 1.0}, members=3).ensemble_
    each = np.stack([ensemble.member_scores(NEW, m) for m in range(3)])
    np.testing.assert_allclose(ensemble.signed_distance(NEW) + ensemble.level, each.max(axis=0))


def test_every_second_flow_fills_a_gap_from_the_second_nearest_row():
    known = torch.tensor([[0.0, 10.0], [1.0, 20.0], [5.0, 30.0]]).double()
    parts = [Coupling(2, blocks=1) for _ in range(3)], [Identity(2) for _ in range(3)]
    ensemble = Ensemble(*parts, Euclidean(Ball(2)), [Nearness(2) for _ in range(3)]).double()
    for m in range(3):
        ensemble.fit_score(m, known)
    each = []
    for m, value in enumerate([10.0, 20.0, 10.0]):
        gap, filled = ([[0.1, second]] for second in (np.nan, value))
        each.append(ensemble.member_scores(np.array(filled), m))
        np.testing.assert_array_equal(ensemble.member_scores(np.array(gap), m), each[-1])
    np.testing.assert_allclose(ensemble.signed_distance(np.array(gap)), np.mean(each, axis=0))


def test_flows_that_are_not_averaged_leave_out_the_same_rows():
    together = HoldOut.of(40, members=4, fraction=0.25, apart=False)
    assert len({tuple(rows) for rows in together.judging_rows().T.tolist()}) == 1
    assert not set(together.judging_rows().flatten().tolist()) & set(together.trained().tolist())


def test_what_is_no_score_is_refused():
    with pytest.raises(ValueError, match=r"score_by does not serve: there is no score 'knn'"):
        compactflow.build(score_by="knn")
    with pytest.raises(ValueError, match="a subclass or an instance of Score"):
        compactflow.build(score_by=3)
    with pytest.raises(ValueError, match="boundary='natural'"):
        compactflow.build(score_by="density", boundary="natural")
    with pytest.raises(ValueError, match="at least one score"):
        fitted("blend", score_options={"of": ["support"], "weights": [0.0]})
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\]"):
        Quantile(2, of=Support, q=2)
    with pytest.raises(ValueError, match="scores by something else"):
        fitted("density").set_boundary("natural")
