import numpy as np
import pytest
from benches import results, save, start

from compactflow.experiments import datasets
from compactflow.experiments.benchmark import detectors, rivals, runner
from compactflow.experiments.benchmark.detectors import Fitted


@pytest.mark.parametrize(
    "name",
    [
        "KNN",
        "KNN1",
        "DTE-NP",
        "IForest",
        "LOF",
        "OCSVM",
        "Mahalanobis",
        "PCA",
        "KDE",
        "KDE/4",
        "GMM",
        "SOD",
        "DTE-C",
        "TCCM",
    ],
)
def test_higher_scores_are_more_outlying(name, monkeypatch):
    monkeypatch.setattr(rivals, "_STEPS", 100)
    rng = np.random.default_rng(0)
    train = rng.normal(size=(200, 3)) @ np.diag([10, 1, 0.05])
    score = detectors.load(name)(train, 0).score
    assert score(np.array([[0.0, 0.0, 3.0]])) > score(train[:1])


def test_ours_reports_the_share_of_inliers_inside(tmp_path, monkeypatch):
    save(tmp_path / "set.npz")
    train, test, outlier = datasets.split(*datasets.load_npz(tmp_path / "set.npz"), 0)
    scores = test[:, 0]
    monkeypatch.setitem(
        detectors.DETECTORS, "first", lambda train, seed: Fitted(lambda rows: rows[:, 0], 0.5)
    )
    row = runner.measure(tmp_path / "set.npz", runner.Task("set", "first", 0, "", 1, ""))
    assert row["inside"] == np.mean(scores[~outlier] <= 0.5)
    assert (row["n_train"], row["n_test"], row["dim"]) == (len(train), len(test), 3)


def test_our_boundary_is_where_predict_changes(tmp_path):
    train = np.random.default_rng(0).normal(size=(60, 2))
    rows = np.random.default_rng(1).normal(size=(200, 2), scale=2)
    fitted = detectors.fit_ours(train, 0, max_steps=3)
    expected = detectors.build(random_state=0, max_steps=3).fit(train).predict(rows)
    assert np.array_equal(np.where(fitted.score(rows) <= fitted.boundary, 1, -1), expected)
    assert len(np.unique(expected)) == 2


@pytest.fixture
def no_pyod(monkeypatch):
    class Missing:
        def __init__(self, *_):
            self.module = "pyod.models.ecod"

        def load(self):
            raise ModuleNotFoundError("No module named 'pyod'")

    monkeypatch.setattr(detectors, "OPTIONAL", {"KNN": Missing()})
    few = {name: detectors.DETECTORS[name] for name in ("KNN", "PCA")}
    for module in (detectors, runner):
        monkeypatch.setattr(module, "DETECTORS", few)


def test_absent_peers_are_reported_when_all_are_run(data, out, no_pyod):
    table = start(data, out, detectors=None, seeds=1)
    assert {row["detector"] for row in results(out)} == {"PCA"}
    for text in (table.caption, (out / "benchmark.md").read_text()):
        assert "Not installed: KNN; to add them, pip install pyod" in text


def test_absent_peers_are_an_error_when_asked_for(data, out, no_pyod):
    with pytest.raises(ValueError, match="'KNN' is not installed; run 'pip install pyod"):
        start(data, out, ["KNN"])
    assert not out.exists()
