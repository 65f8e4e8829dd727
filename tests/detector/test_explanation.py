import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

import compactflow
from compactflow.detector.counterfactuals import change_features
from compactflow.flows.ensemble import Ensemble

SMALL = {
    "max_steps": 20,
    "members": 2,
    "backbone_options": {"blocks": 4, "width": 32},
    "random_state": 0,
}


def correlated(n, seed=0):
    mixing = np.random.default_rng(7).normal(size=(6, 6)) * 10.0 ** np.arange(-2, 4)
    return np.random.default_rng(seed).normal(size=(n, 6)) @ mixing


@pytest.fixture(scope="module")
def detector():
    return compactflow.build(**SMALL).fit(correlated(800))


def plant(X, inlier, shift, seed):
    """Move one feature of each inlier row by `shift` standard deviations."""
    rng = np.random.default_rng(seed)
    rows = X[inlier].copy()
    planted = rng.integers(X.shape[1], size=len(rows))
    rows[np.arange(len(rows)), planted] += (
        shift * X.std(axis=0)[planted] * rng.choice([-1, 1], len(rows))
    )
    return rows, planted


@pytest.mark.parametrize("data", ["correlated", "breast cancer"])
def test_a_planted_feature_ranks_first(data, detector):
    if data == "correlated":
        X = correlated(200, seed=1)
    else:
        X, y = load_breast_cancer(return_X_y=True)
        X = X[y == 1][:, :10]
        detector = compactflow.build(**SMALL).fit(X[:200])
        X = X[200:]
    rows, planted = plant(X, detector.predict(X) == 1, 5, seed=2)
    explanation = detector.explain(rows)
    hit = explanation.ranking[:, 0] == planted
    assert explanation.outlier.mean() > 0.5
    assert hit[explanation.outlier].mean() >= 0.9
    assert (detector.predict(explanation.counterfactual) == 1).all()


@pytest.mark.parametrize(
    ("latent", "boundary", "score_by"),
    [
        ("cube", "natural", "support"),
        ("cube", 0.5, "support"),
        ("cube", 0.8, "neighbours"),
        ("ball", 0.5, "support"),
        ("gaussian", 0.99, "support"),
    ],
)
def test_counterfactuals_are_inliers_near_the_boundary(latent, boundary, score_by):
    detector = compactflow.build(**SMALL, latent=latent, boundary=boundary, score_by=score_by).fit(
        correlated(400)
    )
    rng = np.random.default_rng(3)
    X = np.concatenate(
        [correlated(20), correlated(20) * rng.normal(size=(20, 6)) * 5, [[1e6] * 6]]
    )
    explanation = detector.explain(X)
    outlier = detector.predict(X) == -1
    np.testing.assert_array_equal(explanation.outlier, outlier)
    assert outlier.sum() > 10
    decision = detector.decision_function(explanation.counterfactual)
    assert (decision >= 0).all()
    assert (decision[outlier] < 1e-2).all()
    assert (explanation.difference[~outlier] == 0).all()
    assert np.abs(explanation.difference[outlier]).sum(axis=1).min() > 0
    np.testing.assert_allclose(explanation.X + explanation.difference, explanation.counterfactual)


def test_the_search_finds_what_trying_all_values_finds(detector, monkeypatch):
    X = correlated(200, seed=4)
    X, _ = plant(X, detector.predict(X) == 1, 6, seed=5)
    X = X[detector.predict(X) == -1][:40]
    typical = detector.sample(500, random_state=0)
    values = np.quantile(typical, np.linspace(0, 1, 33), axis=0)
    tried = np.tile(X[:, None, None], (1, 6, 33, 1))
    for j in range(6):
        tried[:, j, :, j] = values[:, j]
    lowest = detector.signed_distance(tried.reshape(-1, 6)).reshape(len(X), -1).min(axis=1)
    scored, original = [], Ensemble.signed_distance

    def counted(self, rows):
        scored.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(Ensemble, "signed_distance", counted)
    changed, found = change_features(detector.ensemble_, X, typical, changes=1)
    assert sum(scored) < 0.5 * tried[..., 0].size
    monkeypatch.undo()
    assert ((changed != X).sum(axis=1) == 1).all()
    np.testing.assert_array_equal(found, detector.predict(changed) == 1)
    distance = detector.signed_distance(changed)
    assert (distance >= lowest - 1e-9).all()
    assert np.isclose(distance, lowest).mean() >= 0.9
    assert (distance <= lowest + 0.05).all()


def test_far_off_in_every_feature_is_projected_in_latent_space(detector):
    explanation = detector.explain(correlated(5) * 100)
    assert (explanation.difference != 0).sum(axis=1).min() > 3
    assert (detector.predict(explanation.counterfactual) == 1).all()


def test_the_broken_constraint_is_named(detector):
    X = correlated(50) * 3
    explanation = detector.explain(X)
    Z = np.abs(detector.transform(X)) - 1
    np.testing.assert_allclose(explanation.violation, Z.max(axis=1))
    np.testing.assert_array_equal(
        explanation.constraint, np.where(Z.max(axis=1) > 0, Z.argmax(axis=1), -1)
    )


def test_the_frame_lists_outliers_and_their_features_by_size(recwarn):
    names = list("abcdef")
    frame = pd.DataFrame(correlated(200), columns=names)
    detector = compactflow.build(**SMALL).fit(frame)
    X = frame.head(4).copy()
    X.iloc[1, 2] += 1e4
    X.iloc[3] *= 50
    explanation = detector.explain(X)
    table = explanation.to_frame()
    assert {1, 3} <= set(table["row"]) == set(np.flatnonzero(explanation.outlier))
    first = table[table["row"] == 1].iloc[0]
    assert (first["feature"], first["value"]) == ("c", X.iloc[1, 2])
    assert first["difference"] == first["counterfactual"] - first["value"] < 0 < first["deviation"]
    for _, part in table.groupby("row"):
        assert (part["deviation"].abs().diff().dropna() <= 0).all()
    assert explanation.to_frame(top=1).groupby("row").size().max() == 1
    assert not [w for w in recwarn if "feature names" in str(w.message)]


def test_without_outliers_there_is_nothing_to_list(detector):
    X = detector.sample(20, random_state=0)
    X = X[detector.predict(X) == 1]
    explanation = detector.explain(X)
    assert len(explanation.to_frame()) == 0
    assert "feature" in explanation.to_frame()
    assert (explanation.counterfactual == X).all()


def test_to_frame_without_pandas_says_what_to_install(detector, monkeypatch):
    explanation = detector.explain(correlated(3))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        explanation.to_frame()


def test_a_boundary_that_holds_nothing_is_refused(detector, monkeypatch):
    monkeypatch.setattr(detector.ensemble_, "level", -100.0)
    with pytest.raises(ValueError, match="higher level"):
        detector.explain(correlated(3))
