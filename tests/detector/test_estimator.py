import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import compactflow
from compactflow import OneClassFlow
from compactflow.backbones.coupling import Coupling
from compactflow.latents.ball import Ball
from compactflow.plugins.registry import UnknownComponentError
from compactflow.pulls.base import Pull
from compactflow.pulls.norms import Gauge
from compactflow.pushes.stein import Stein


def build(**options):
    return compactflow.build(**{"max_steps": 3, "members": 1, "random_state": 0} | options)


@parametrize_with_checks(
    [OneClassFlow(max_steps=2, members=1, backbone_options={"blocks": 1, "width": 8})]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_signs_agree(X, fitted):
    detector = fitted()
    far = X + np.array([100, 0, 0, 0])
    distance = detector.signed_distance(far)
    np.testing.assert_array_equal(detector.score_samples(far), -distance)
    np.testing.assert_allclose(detector.decision_function(far), -distance - detector.offset_)
    assert (distance > 0).all()
    assert (detector.predict(far) == -1).all()


def test_level_is_kept_on_new_inliers():
    rng = np.random.default_rng(0)
    detector = build(validation_fraction=0.5, boundary=0.9).fit(rng.normal(size=(2000, 3)))
    inside = (detector.predict(rng.normal(size=(5000, 3))) == 1).mean()
    assert inside == pytest.approx(0.9, abs=0.03)


def test_natural_boundary_is_distance_zero(X, fitted):
    detector = fitted(boundary="natural")
    distance = detector.signed_distance(X)
    assert detector.offset_ == pytest.approx(0, abs=1e-8)
    np.testing.assert_array_equal(detector.predict(X) == 1, distance <= 0)


def test_paper_preset_is_the_paper(X):
    detector = build(preset="paper").fit(X)
    assert len(detector.flow_.backbone.blocks) == 12
    assert detector.flow_.backbone.blocks[0].subnet[0].out_features == 128
    assert type(detector.pull_).__name__ == "MaxAbs"
    assert abs(detector.offset_) < 1e-8


@pytest.mark.parametrize(
    ("latent", "push"), [("cube", "stein"), ("ball", "mirror"), ("gaussian", "likelihood")]
)
def test_round_trips_after_training(X, fitted, latent, push):
    detector = fitted(latent=latent, push=push, max_steps=20)
    Z = detector.transform(X)
    np.testing.assert_allclose(detector.inverse_transform(Z), X, rtol=1e-9)
    assert np.unique(detector.signed_distance(X)).size == len(X)


@pytest.mark.slow  # the grid must be fine, as columns are mapped piece by piece
@pytest.mark.usefixtures("small_default")
def test_log_density_integrates_to_one():
    X = np.random.default_rng(0).normal(size=(1000, 2)) * [1, 5]
    detector = build(latent="gaussian", push="likelihood", members=2, max_steps=10).fit(X)
    x, y = np.linspace(-6, 6, 500), np.linspace(-30, 30, 500)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    mass = np.exp(detector.log_density(grid)).sum() * (x[1] - x[0]) * (y[1] - y[0])
    assert mass / (2 * np.pi) == pytest.approx(1, abs=1e-3)  # the squared pull's Z is (2π)^(D/2)


def test_samples_are_inliers(fitted):
    detector = fitted(boundary="natural")
    sample = detector.sample(100, random_state=1)
    assert sample.shape == (100, 4)
    assert (detector.signed_distance(sample) <= 1e-9).all()
    np.testing.assert_array_equal(sample, detector.sample(100, random_state=1))


@pytest.mark.usefixtures("small_default")
def test_same_seed_same_scores_and_global_generators_untouched(X):
    state = torch.random.get_rng_state()
    one, other = (build(members=2).fit(X).signed_distance(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert torch.equal(state, torch.random.get_rng_state())
    third = build(members=2, random_state=1).fit(X)
    assert not np.array_equal(one, third.signed_distance(X))


def test_rows_do_not_influence_each_other(fitted):
    detector = fitted(members=2)
    X = np.random.default_rng(0).normal(size=(5000, 4))
    np.testing.assert_allclose(
        detector.signed_distance(X)[::499], detector.signed_distance(X[::499]), rtol=1e-9
    )


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float16),
        lambda X: X.round().astype(int),
        lambda X: X.tolist(),
        lambda X: pd.DataFrame(X, columns=list("abcd")),
        lambda X: np.asfortranarray(X),
        lambda X: X[:, :1],
        lambda X: X[:2],
        lambda X: np.c_[X, np.ones(len(X))],
        lambda X: np.c_[X, 1e12 + X],
        lambda X: np.c_[X, X],
        lambda X: 1e-30 * X,
        lambda X: 1e90 * X,
    ],
)
@pytest.mark.usefixtures("small_default")
def test_odd_but_sound_data(X, convert):
    X = convert(X)
    scores = build().fit(X).signed_distance(X)
    assert np.isfinite(scores).all()


@pytest.mark.usefixtures("small_default")
def test_read_only_data(X):
    X.setflags(write=False)
    assert build().fit(X).predict(X).shape == (300,)


@pytest.mark.usefixtures("small_default")
def test_data_frame_columns_are_checked(X):
    frame = pd.DataFrame(X, columns=list("abcd"))
    detector = build().fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        detector.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda X: X[:1], "minimum of 2"),
        (lambda X: X[:, :0], "0 feature"),
        (lambda X: np.where(X > 3, np.nan, X), "NaN"),
        (lambda X: np.where(X > 3, np.inf, X), "infinity"),
        (lambda X: 1e200 * X, "rescale"),
        (lambda X: X[0], "Expected 2D"),
    ],
)
def test_bad_data_is_refused(X, spoil, word):
    with pytest.raises(ValueError, match=word):
        build().fit(spoil(X))


def test_wrong_width_is_refused(X, fitted):
    detector = fitted()
    for method in (detector.predict, detector.inverse_transform):
        with pytest.raises(ValueError, match=r"3 .*features"):
            method(X[:, :3])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"backbone": "couplin"}, "did you mean 'coupling'"),
        ({"latent": 3}, "latent"),
        ({"push": Ball}, "push"),
        ({"preset": "papers"}, "preset"),
        ({"nope": 1}, "nope"),
        ({"max_steps": 0}, "max_steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"noise": -0.1}, "noise"),
        ({"boundary": 1.0}, "boundary"),
    ],
)
def test_build_refuses_bad_arguments(options, word):
    with pytest.raises(ValueError, match=word):
        compactflow.build(**options)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"backbone_options": {"nope": 1}}, "backbone_options"),
        ({"device": "nowhere"}, "nowhere"),
        ({"preprocessing": "pca"}, "preprocessing"),
        ({"backbone": Coupling(4), "backbone_options": {"blocks": 2}}, "backbone_options"),
        ({"backbone": Coupling(7)}, "dimension"),
    ],
)
def test_fit_refuses_bad_arguments(X, options, word):
    with pytest.raises(ValueError, match=word):
        build(**options).fit(X)


def test_unknown_name_has_its_own_error():
    with pytest.raises(UnknownComponentError):
        compactflow.build(latent="tube")


def test_classes_and_instances_serve_as_components(X):
    backbone = Coupling(4, blocks=2)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    detector = build(
        backbone=backbone, latent=Ball, pull=Gauge, push=Stein(sigma=0.2), max_steps=50
    ).fit(X)
    assert type(detector.flow_.latent) is Ball
    assert all((value == before[name]).all() for name, value in backbone.state_dict().items())
    assert roc_auc_score(np.repeat([0, 1], 300), detector.signed_distance(np.r_[X, X + 50])) > 0.9


class Hollow(Pull):
    """Not convex: it draws latents to the boundary from both sides."""

    def forward(self, z):
        return (z.norm(dim=1) - 0.5).abs()


class Inward(Pull):
    """Draws latents out of the support."""

    def forward(self, z):
        return -z.norm(dim=1)


@pytest.mark.parametrize(
    ("pull", "push", "reason"),
    [
        (Hollow, "mirror", "not convex on the support.*take a convex pull"),
        (Inward, "mirror", "not increasing outward"),
        (Inward, "stein", "not increasing outward"),
    ],
)
def test_a_pull_that_cannot_balance_the_push_is_refused(pull, push, reason):
    with pytest.raises(ValueError, match=reason):
        compactflow.build(pull=pull, push=push)
    with pytest.raises(ValueError, match=reason):
        compactflow.OneClassFlow(pull=pull, push=push, max_steps=1).fit(np.eye(4))


def test_an_entropic_push_does_without_convexity():
    compactflow.build(pull=Hollow, push="stein")


@pytest.mark.usefixtures("small_default")
def test_members_score_by_their_mean_and_the_first_encodes(X):
    detector = build(members=2, boundary="bare").fit(X)
    first, second = detector.flows_
    x = torch.from_numpy(X)
    with torch.no_grad():
        distances = [flow.signed_distance(x).numpy() for flow in (first, second)]
        latents = first.encode(x).numpy()
    assert np.abs(distances[0] - distances[1]).max() > 0.01
    np.testing.assert_allclose(detector.signed_distance(X), np.mean(distances, axis=0))
    np.testing.assert_allclose(detector.transform(X), latents)
    decoded = detector.inverse_transform(detector.transform(X))
    np.testing.assert_allclose(decoded, X, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("backbone", "members"), [("coupling", 4), ("autoregressive", 1), (Coupling(4, blocks=2), 1)]
)
def test_the_ensemble_is_of_four_where_that_is_cheap(backbone, members, X):
    detector = compactflow.build(backbone, max_steps=2, random_state=0).fit(X)
    assert len(detector.flows_) == members


def test_one_instance_makes_no_ensemble(X):
    with pytest.raises(ValueError, match="members must be 1"):
        compactflow.build(Coupling(4, blocks=2), members=3, max_steps=2).fit(X)
    with pytest.raises(ValueError, match="members"):
        compactflow.build(members=0)
