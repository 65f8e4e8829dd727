"""What fails stops nothing else, and what is wrong is said before anything runs."""

import numpy as np
import pytest
from benches import results, save, start

from compactflow.experiments.benchmark import detectors
from compactflow.experiments.benchmark.detectors import Fitted


def test_failing_detector_does_not_stop_the_others(data, out, monkeypatch):
    def fail(train, seed):
        raise RuntimeError("singular |\n matrix")

    monkeypatch.setitem(detectors.DETECTORS, "broken", fail)
    start(data, out, ["KNN", "broken"], seeds=1)
    errors = {(row["detector"], row["error"]) for row in results(out)}
    assert errors == {("KNN", ""), ("broken", "RuntimeError: singular | matrix")}
    text = (out / "benchmark.md").read_text()
    assert "broken failed on every set" in text
    assert "singular \\| matrix" in text


def test_a_detector_that_exits_does_not_stop_the_others(data, out, monkeypatch):
    def fit(train, seed):
        raise SystemExit(0)

    monkeypatch.setitem(detectors.DETECTORS, "recorder", fit)
    start(data, out, ["recorder", "PCA"], seeds=1)
    errors = {row["detector"]: row["error"] for row in results(out)}
    assert errors["recorder"] == "SystemExit: 0"
    assert not errors["PCA"]


def test_scores_that_are_not_finite_are_a_failure(data, out, monkeypatch):
    nan = Fitted(lambda rows: np.full(len(rows), np.nan))
    monkeypatch.setitem(detectors.DETECTORS, "nan", lambda train, seed: nan)
    start(data, out, ["nan"], seeds=1)
    assert all("NaN" in row["error"] and not row["auroc"] for row in results(out))


def test_failed_tasks_are_tried_again(data, out, monkeypatch):
    def fail(train, seed):
        raise MemoryError

    good = detectors.DETECTORS["PCA"]
    monkeypatch.setitem(detectors.DETECTORS, "PCA", fail)
    start(data, out, ["PCA"], seeds=1)
    monkeypatch.setitem(detectors.DETECTORS, "PCA", good)
    start(data, out, ["PCA"], seeds=1)
    assert all(row["auroc"] and not row["error"] for row in results(out))


def test_two_sets_of_one_name_are_an_error(data, out, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save(other / "one.npz")
    with pytest.raises(ValueError, match="have the same name"):
        start([data, other], out)


def test_missing_folder_is_an_error(tmp_path, out):
    with pytest.raises(FileNotFoundError, match="no data folder"):
        start(tmp_path / "nowhere", out)


def test_empty_folder_is_an_error(tmp_path, out):
    with pytest.raises(ValueError, match=r"holds no \.npz file"):
        start(tmp_path, out)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((4, 2))}, "arrays X and y"),
        ({"y": np.zeros(4)}, "arrays X and y"),
        ({"X": np.zeros((4, 2)), "y": np.zeros(4)}, "some rows as outliers"),
        ({"X": np.zeros((4, 2)), "y": np.ones(4)}, "some rows as outliers"),
        ({"X": np.array([[{}]], dtype=object), "y": np.ones(1)}, "allow_pickle"),
    ],
)
def test_malformed_file_is_an_error_before_anything_runs(data, out, arrays, message):
    np.savez(data / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"bad\.npz.*{message}"):
        start(data, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detectors": ["KMN"]}, "no detector 'KMN'; there are compactflow"),
        ({"sets": ["three"]}, "no data set 'three'; there are one, two"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"engine": "slurm"}, "there is no engine 'slurm'"),
        ({"engine": "ray", "jobs": 2}, "jobs is for this machine; leave it out with engine='ray'"),
        ({"dirty": 1.0}, "dirty must be at least 0 and less than 1, got 1.0"),
        ({"detectors": ["FLOW@whiten"]}, "no peer 'FLOW'; there are KNN"),
        ({"detectors": ["KNN@whitten"]}, "'whitten'"),
    ],
)
def test_wrong_arguments_are_errors(data, out, wrong, message):
    with pytest.raises(ValueError, match=message):
        start(data, out, **wrong)
