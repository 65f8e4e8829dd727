import csv

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from compactflow.experiments.benchmark.detectors import Fitted
from compactflow.experiments.reproduce import (
    features,
    fig3,
    one_vs_rest,
    reproduce,
    table1,
    table2,
)
from compactflow.experiments.reproduce.one_vs_rest import Study


def make_arrays():
    """Three classes around three axes; each has 20 training and 10 test rows."""
    y = np.repeat(["a", "b", "c"], 30)
    X = np.eye(4)[[0, 1, 2]].repeat(30, axis=0)
    X = X + 0.1 * np.random.default_rng(0).normal(size=X.shape)
    split = np.tile(["train"] * 20 + ["test"] * 10, 3)
    return {"X": 7 * X, "y": y, "split": split, "images": X.reshape(-1, 2, 2)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "axes.npz"
    np.savez(path, **make_arrays())
    return path


@pytest.fixture
def serial(monkeypatch):
    """Networks that need no training, in this process, few pictures; returns what is run."""
    calls = []

    def run_each(function, tasks, title):
        for task in tasks:
            calls.append((task[1], task[2].detector))
            yield function(*task)

    def fit(train, seed, **options):
        centre = train.mean(axis=0)
        return Fitted(lambda rows: np.linalg.norm(rows - centre, axis=1))

    monkeypatch.setattr(one_vs_rest, "run_each", run_each)
    monkeypatch.setattr(one_vs_rest, "_NETWORKS", dict.fromkeys(one_vs_rest._NETWORKS, fit))
    monkeypatch.setattr(fig3, "_SHOWN", 2)
    return calls


def rows_of(path):
    with path.open() as lines:
        return list(csv.DictReader(lines))


# --- feature files ----------------------------------------------------------------------------


def test_features_lie_on_the_unit_hypersphere_but_for_noise(file):
    data = features.load(file, 0)
    raw = make_arrays()
    unit = raw["X"] / np.linalg.norm(raw["X"], axis=1, keepdims=True)
    assert 0.005 < (data.X - unit).std() < 0.02
    assert data.classes == ["a", "b", "c"]
    train, test = (data.rows("b", test=test) for test in (False, True))
    assert (raw["y"][train] == "b").all()
    assert (raw["split"][train] == "train").all()
    assert (len(train), len(test)) == (20, 10)


def test_noise_is_drawn_with_the_seed_and_is_not_in_the_fingerprint(file):
    first, again, other = (features.load(file, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.X, again.X)
    assert not np.array_equal(first.X, other.X)
    assert first.fingerprint == other.fingerprint


def test_images_may_be_of_the_test_rows_alone(file, tmp_path):
    images = make_arrays()["images"]
    whole = features.load(file, 0)
    np.savez(tmp_path / "few.npz", **make_arrays() | {"images": images[whole.test]})
    few = features.load(tmp_path / "few.npz", 0)
    for row in np.flatnonzero(whole.test):
        assert np.array_equal(whole.image(row), images[row])
        assert np.array_equal(few.image(row), images[row])


def test_digits_are_halved_within_each_class():
    data = features.load(None, 0)
    for label in data.classes:
        train, test = (len(data.rows(label, test=test)) for test in (False, True))
        assert abs(train - test) <= 1
    assert data.images.shape == (data.test.sum(), 8, 8)


def changed(**changes):
    return {name: array for name, array in (make_arrays() | changes).items() if array is not None}


def with_nan(X):
    X[4, 1] = np.nan
    return X


BAD = {
    "lacks the array split": changed(split=None),
    "lacks the array X and y": changed(X=None, y=None),
    r"X must be \(n, D\)": changed(X=np.ones(90)),
    r"y \(n,\)": changed(y=np.ones(89)),
    "X must be finite, but row 4": changed(X=with_nan(make_arrays()["X"])),
    "row 0 of X is zero": changed(X=np.zeros((90, 4))),
    "words 'train' and 'test', got 'dev'": changed(split=np.full(90, "dev")),
    "at least 1 test rows, but class a has 0": changed(split=np.full(90, "train")),
    "at least two classes": changed(y=np.zeros(90)),
    "images must be": changed(images=np.zeros((89, 2, 2))),
    "30 for the test rows alone, got": changed(images=np.zeros((31, 2, 2))),
    "could not convert": changed(X=np.full((90, 2), "x")),
    "can be read": changed(X=np.array([{}] * 90)),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_feature_file_is_named_with_what_is_wrong(tmp_path, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **BAD[message])
    with pytest.raises(ValueError, match=rf"bad\.npz.*{message}"):
        reproduce(["table1"], out=tmp_path / "out", quick=True, features=path)
    assert not (tmp_path / "out").exists()


def test_a_missing_or_broken_feature_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no feature file"):
        features.load(tmp_path / "none.npz", 0)
    (tmp_path / "text.npz").write_text("X,y,split")
    with pytest.raises(ValueError, match=r"text\.npz"):
        features.load(tmp_path / "text.npz", 0)


# --- measuring --------------------------------------------------------------------------------


def test_a_class_is_scored_against_all_others_and_each(file, tmp_path, serial):
    (row,) = [
        row
        for row in one_vs_rest.evaluate(tmp_path, Study(features=file), ["ours"])
        if row["class"] == "b"
    ]
    data = features.load(file, 0)
    centre = data.X[data.rows("b", test=False)].mean(axis=0)
    scores = np.linalg.norm(data.X - centre, axis=1)
    test = data.test
    assert row["auroc"] == pytest.approx(roc_auc_score(data.y[test] != "b", scores[test]))
    assert row["against"].keys() == {"a", "c"}
    ranked = data.rows("b", test=True)[np.argsort(scores[data.rows("b", test=True)])]
    assert row["least"] == ranked[:8].tolist()
    assert row["most"] == ranked[::-1][:8].tolist()
    others = np.flatnonzero(test & (data.y != "b"))
    assert row["overlooked"][0] == others[scores[others].argmin()]
    assert row["furthest"][0] == others[scores[others].argmax()]


def test_peers_take_the_first_seed_alone(file, tmp_path, serial):
    one_vs_rest.evaluate(tmp_path, Study(features=file, seeds=(3, 4)), ["KNN1", "IOCN"])
    runs = [
        (row["detector"], row["seed"])
        for row in one_vs_rest.evaluate(
            tmp_path, Study(features=file, seeds=(3, 4)), ["KNN1", "IOCN"]
        )
    ]
    assert set(runs) == {("KNN1", 3), ("IOCN", 3), ("IOCN", 4)}
    assert len(serial) == 3 * 3


def test_what_lies_inside_the_boundary_is_counted(file, monkeypatch):
    data = features.load(file, 0)
    fit = lambda train, seed, **options: Fitted(lambda rows: -rows[:, 0], -0.5)  # noqa: E731
    monkeypatch.setattr(one_vs_rest, "_NETWORKS", {"ours": fit})
    row = one_vs_rest.measure(data, "a", one_vs_rest.Task("axes", "ours", 0, "", 2, ""), False)
    assert (row["inside"], row["missed"]) == (1.0, 0.0)
    assert row["memory"] is None or row["memory"] >= 0
    row = one_vs_rest.measure(data, "b", one_vs_rest.Task("axes", "ours", 0, "", 2, ""), False)
    assert (row["inside"], row["missed"]) == (0.0, 0.5)


@pytest.mark.slow
def test_experiments_share_what_is_measured(file, tmp_path, serial):
    study = Study(features=file, seeds=(0, 1))
    table1.run(tmp_path, study, ["KNN", "IOCN", "ours"])
    assert len(serial) == 3 * (1 + 2 * 2)
    table2.run(tmp_path, study)
    fig3.run(tmp_path, study)
    assert len(serial) == 3 * (1 + 2 * 2)
    assert (tmp_path / "table2.png").stat().st_size > 0
    assert (tmp_path / "fig3.png").stat().st_size > 0


@pytest.mark.parametrize("name", ["FLOW", "IOCN", "ours"])
def test_networks_find_the_other_classes(file, tmp_path, monkeypatch, name):
    monkeypatch.setattr(one_vs_rest, "_QUICK_STEPS", 5)
    data = features.load(file, 0)
    task = one_vs_rest.Task("axes", name, 0, "", 1, "")
    row = one_vs_rest.measure(data, "a", task, True)
    assert row["error"] is None
    assert row["auroc"] > 0.9


def test_table1_says_what_failed_and_what_is_published(file, tmp_path, serial, monkeypatch):
    def fail(train, seed):
        raise RuntimeError("no luck")

    monkeypatch.setitem(one_vs_rest.PEERS, "KDE", fail)
    table = table1.run(tmp_path, Study(features=file, seeds=(0, 1)), ["KNN", "KDE", "ours"])
    assert table.row_count == 3
    text = (tmp_path / "table1.md").read_text()
    assert "KDE failed: RuntimeError: no luck." in text
    line = next(line for line in text.splitlines() if line.startswith("| KNN"))
    assert line.endswith("| 95.9 |")
    measured = [
        float(r["auroc"]) for r in rows_of(tmp_path / "table1.csv") if r["detector"] == "KNN"
    ]
    assert f"{100 * np.mean(measured):.1f}" in line
    assert "| ours | KNN | " in text
    assert "of 3 |" in text
    assert "| ours | KDE | " not in text
    assert "axes" in text
    assert str(tmp_path) not in text


def test_table2_has_every_pair_of_classes(file, tmp_path, serial):
    table2.run(tmp_path, Study(features=file))
    rows = rows_of(tmp_path / "table2.csv")
    assert len(rows) == 2 * 3 * 2
    assert all(row["train"] != row["test"] for row in rows)
    reproduce(["table2"], out=tmp_path, quick=False, features=file, detectors=["KNN"], seeds=1)
    assert {row["detector"] for row in rows_of(tmp_path / "table2.csv")} == {"KNN"}


def test_a_failing_picture_leaves_the_old_one(file, tmp_path, serial, monkeypatch):
    def torn(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    (tmp_path / "fig3.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", torn)
    with pytest.raises(OSError, match="disk full"):
        fig3.run(tmp_path, Study(features=file))
    assert (tmp_path / "fig3.png").read_bytes() == b"old"


def test_fig3_needs_images(tmp_path):
    np.savez(tmp_path / "plain.npz", **changed(images=None))
    with pytest.raises(ValueError, match=r"plain\.npz has no array images"):
        fig3.run(tmp_path, Study(features=tmp_path / "plain.npz"))


def test_detectors_are_checked_before_anything_runs(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'SVM'; there are COPOD, .*ours"):
        reproduce(["table1"], out=tmp_path / "out", quick=True, detectors=["SVM"])
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        reproduce(["table1"], out=tmp_path / "out", quick=True, seeds=0)
    monkeypatch.setattr(one_vs_rest, "find_missing", lambda: {"COPOD": "pip install pyod"})
    with pytest.raises(ValueError, match="'COPOD' is not installed; run 'pip install pyod'"):
        reproduce(["table1"], out=tmp_path / "out", quick=True, detectors=["COPOD"])
    assert not (tmp_path / "out").exists()
    assert "COPOD" not in one_vs_rest.choose(None, quick=False)
    assert "SLAD" not in one_vs_rest.choose(None, quick=True)


def test_absent_peers_are_reported(file, tmp_path, serial, monkeypatch):
    monkeypatch.setattr(table1, "find_missing", lambda: {"COPOD": "pip install pyod"})
    table1.run(tmp_path, Study(features=file), ["KNN"])
    text = (tmp_path / "table1.md").read_text()
    assert "Not installed: COPOD; to add it, `pip install pyod`." in text
