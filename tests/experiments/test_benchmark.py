import csv
import functools
import itertools
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import wilcoxon

from compactflow.experiments import datasets
from compactflow.experiments.benchmark import detectors, front, peers, rivals, run, runner
from compactflow.experiments.benchmark.detectors import Fitted
from compactflow.experiments.benchmark.diagram import draw
from compactflow.experiments.benchmark.journal import Journal, Task
from compactflow.experiments.benchmark.ranking import Line, critical_difference, find_cliques, rank
from compactflow.experiments.benchmark.report import COLUMNS
from compactflow.plugins import EngineSpec, registry
from compactflow.workers import Workers

CHEAP = ["KNN", "IForest", "PCA"]


def save(path, dim=3, inliers=60, outliers=10, seed=0):
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(inliers, dim)), rng.normal(4, 2, (outliers, dim))])
    np.savez(path, X=X, y=np.repeat([0, 1], [inliers, outliers]))


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    save(folder / "one.npz", seed=1)
    save(folder / "two.npz", dim=4, inliers=81, seed=2)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def start(data, out, detectors=CHEAP, sets=None, seeds=2, jobs=1, **options):
    folders = data if isinstance(data, list) else [data]
    return run(folders, out, detectors=detectors, sets=sets, seeds=seeds, jobs=jobs, **options)


def results(out):
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def calls(monkeypatch):
    """A detector that records what it is fitted on."""
    calls = []

    def fit(train, seed):
        calls.append((len(train), seed))
        return Fitted(lambda rows: np.linalg.norm(rows - train.mean(axis=0), axis=1))

    monkeypatch.setitem(detectors.DETECTORS, "recorder", fit)
    return calls


# --- protocol ---------------------------------------------------------------------------------


@pytest.mark.parametrize("inliers", [60, 61])
def test_split_trains_on_half_the_inliers_and_tests_on_all_other_rows(tmp_path, inliers):
    save(tmp_path / "set.npz", inliers=inliers)
    X, outlier = datasets.load_npz(tmp_path / "set.npz")
    train, test, test_outlier = datasets.split(X, outlier, seed=0)
    rows = {tuple(row) for row in X[~outlier]}
    assert {tuple(row) for row in train} <= rows
    assert len(train) == inliers // 2
    assert test_outlier.sum() == 10
    both = np.concatenate([train, test])
    assert np.array_equal(np.unique(both, axis=0), np.unique(X, axis=0))
    assert len(both) == len(X)


def test_of_many_rows_20000_are_drawn_without_replacement():
    X = np.arange(25_000.0)[:, None]
    train, test, outlier = datasets.split(X, X[:, 0] % 5 == 0, seed=0)
    both = np.concatenate([train, test])
    assert len(both) == len(np.unique(both)) == 20_000
    assert len(train) == (20_000 - outlier.sum()) // 2


def test_outliers_in_training_are_not_tested_and_the_inliers_stay():
    X = np.arange(100.0)[:, None]
    outlier = X[:, 0] >= 60
    clean = datasets.split(X, outlier, 0)
    for dirty, count in [(0.001, 1), (0.25, 10), (0.999, 39)]:
        train, test, flags = datasets.split(X, outlier, 0, dirty=dirty)
        assert (train[:, 0] >= 60).sum() == count
        assert set(train[train < 60]) == set(clean.train[:, 0])
        assert set(test[~flags, 0]) == set(clean.test[~clean.outlier, 0])
        assert len(np.unique(np.concatenate([train, test]))) == 100
    # They are not all at the end, where a detector that holds rows out would see them together.
    assert np.ptp(np.flatnonzero(datasets.split(X, outlier, 0, dirty=0.25).train >= 60)) > 10


def test_seeds_split_differently(tmp_path):
    save(tmp_path / "set.npz")
    first, second = (
        datasets.split(*datasets.load_npz(tmp_path / "set.npz"), seed).train for seed in (0, 1)
    )
    assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))


def test_peers_are_scaled_on_the_training_rows_only():
    train = np.random.default_rng(0).normal(size=(50, 2))
    score = detectors.load("KNN")(train, 0).score
    rows = np.array([[0.5, 0.5], [1e6, 0.0]])
    assert score(rows)[0] == score(rows[:1])[0]
    assert score(rows * [1, 0])[1] == pytest.approx(1e6 / train[:, 0].std(), rel=1e-3)


def test_a_first_layer_goes_in_front_of_a_peer_in_place_of_standardised_columns():
    train = np.random.default_rng(0).normal(size=(50, 2)) * [100.0, 1.0]
    rows = np.array([[50.0, 0.5], [0.0, -0.5]])
    expected = np.linalg.norm(rows[:, None] - train, axis=2).min(axis=1)
    assert detectors.load("KNN1@none")(train, 0).score(rows) == pytest.approx(expected)
    assert detectors.load("KNN1")(train, 0).score(rows) != pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("name", "value"), [("KNN1", 1.0), ("KNN", 5.0), ("DTE-NP", 3.0)])
def test_neighbours_are_summed_up_as_the_name_says(name, value):
    train = np.arange(-9.0, 1.0)[:, None]
    assert peers.PEERS[name](train, 0)(np.array([[1.0]])) == pytest.approx(value)


def test_the_quarter_density_has_a_quarter_of_silvermans_width():
    score = peers.PEERS["KDE/4"](np.zeros((32, 1)), 0)
    width = 0.25 * 32 ** (-1 / 5)
    near, far = score(np.array([[0.0], [width]]))
    assert far - near == pytest.approx(0.5)


@pytest.mark.parametrize(("name", "width"), [("KDE", 1.0), ("KDE/4", 0.25 * 300 ** (-1 / 34))])
def test_kernel_densities_are_right_where_they_are_tiny(name, width):
    train, rows = np.split(np.random.default_rng(0).normal(size=(400, 30)), [300])
    exact = logsumexp(-cdist(rows, train, "sqeuclidean") / (2 * width**2), axis=1)
    score = peers.PEERS[name](train, 0)(rows)
    assert np.ptp(score + exact) < 1e-6


@pytest.mark.parametrize("name", ["DTE-C", "TCCM"])
def test_rivals_keep_the_callers_generator_and_their_seed(name, monkeypatch):
    monkeypatch.setattr(rivals, "_STEPS", 2)
    train, state = np.random.default_rng(0).normal(size=(20, 2)), torch.get_rng_state()
    first, again, other = (detectors.load(name)(train, seed).score(train) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


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
    monkeypatch.setattr(rivals, "_STEPS", 300)
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


# --- runs -------------------------------------------------------------------------------------


def test_results_are_one_row_per_set_detector_and_seed(data, out):
    start(data, out)
    rows = results(out)
    keys = {(row["set"], row["detector"], int(row["seed"])) for row in rows}
    assert keys == set(itertools.product(["one", "two"], CHEAP, [0, 1]))
    assert len(rows) == len(keys)
    assert list(rows[0]) == list(COLUMNS)
    table = pq.read_table(out / "results.parquet").to_pylist()
    assert [float(row["auroc"]) for row in rows] == [row["auroc"] for row in table]
    assert all(row["inside"] is None and row["error"] is None for row in table)


@pytest.mark.slow
def test_number_of_jobs_does_not_change_results(data, tmp_path):
    start(data, tmp_path / "a", jobs=1)
    start(data, tmp_path / "b", jobs=2)
    first, second = results(tmp_path / "a"), results(tmp_path / "b")
    assert [row["auroc"] for row in first] == [row["auroc"] for row in second]


class Backwards(Workers):
    """An engine that takes the last task first."""

    def run(self, function, shared, tasks):
        found = [function(shared, task) for task in reversed(tasks)]
        return reversed(found)


def test_an_engine_does_not_change_results(data, tmp_path):
    start(data, tmp_path / "a")
    with registry.isolated():
        registry.register(EngineSpec(name="back", target=f"{__name__}:Backwards"))
        start(data, tmp_path / "b", engine="back")
    first, second = results(tmp_path / "a"), results(tmp_path / "b")
    assert [row["auroc"] for row in first] == [row["auroc"] for row in second]
    assert "--seeds 2 --engine back" in (tmp_path / "b" / "benchmark.md").read_text()


@pytest.mark.slow
def test_variants_run_by_name_only_and_differ_from_the_default(data):
    train, test, _ = datasets.split(*datasets.load_npz(data / "one.npz"), 0)
    # Correlated, or whitening would have nothing to do.
    train, test = (rows + 3 * rows[:, :1] for rows in (train, test))
    few = functools.partial(detectors.fit_ours, max_steps=3)
    scores = few(train, 0).score(test)
    for name, variant in detectors.VARIANTS.items():
        options = variant.keywords | {"max_steps": 4 if name == "half the steps" else 3}
        assert name not in runner._choose(None)[0]
        assert runner._choose([name])[0] == [name]
        assert np.abs(detectors.fit_ours(train, 0, **options).score(test) - scores).max() > 1e-6


def test_sets_and_detectors_are_chosen_by_name(data, out):
    start(data, out, ["PCA"], sets=["two"], seeds=1)
    assert [(row["set"], row["detector"]) for row in results(out)] == [("two", "PCA")]


def test_killed_run_continues_where_it_stopped(data, out, calls):
    start(data, out, ["recorder"], seeds=3)
    complete = results(out)
    journal = out / runner.JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    calls.clear()
    start(data, out, ["recorder"], seeds=3)
    assert calls == [(40, 1), (30, 2), (40, 2)]
    assert [row["auroc"] for row in results(out)] == [row["auroc"] for row in complete]
    calls.clear()
    start(data, out, ["recorder"], seeds=3)
    assert calls == []


def test_interrupted_run_keeps_what_is_finished(data, out, calls, monkeypatch):
    def interrupt(train, seed):
        raise KeyboardInterrupt

    monkeypatch.setitem(detectors.DETECTORS, "stopper", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start(data, out, ["recorder", "stopper"])
    assert len(Journal(out / runner.JOURNAL, runner._FIELDS).rows) == 1


def test_later_detectors_are_added_to_a_run(data, out, calls):
    start(data, out, ["recorder"], seeds=1)
    start(data, out, ["recorder", "PCA"], seeds=1)
    assert len(calls) == 2
    assert len(results(out)) == 4


@pytest.mark.parametrize("change", ["version", "data", "protocol"])
def test_results_of_other_settings_are_not_mixed_in(data, out, calls, monkeypatch, change):
    start(data, out, ["recorder"], seeds=1)
    if change == "version":
        monkeypatch.setattr("compactflow.experiments.benchmark.runner.__version__", "0.0.0")
    elif change == "protocol":
        monkeypatch.setattr(runner, "_PROTOCOL", 0)
    else:
        save(data / "one.npz", inliers=70)
        save(data / "two.npz", inliers=70)
    calls.clear()
    with pytest.warns(UserWarning, match="2 results of other data"):
        start(data, out, ["recorder"], seeds=1)
    assert len(calls) == 2
    assert len(results(out)) == 2


# --- failures ---------------------------------------------------------------------------------


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


def test_sets_without_all_results_are_left_out_of_the_ranking(data, out, monkeypatch):
    def picky(train, seed):
        if train.shape[1] == 3:
            raise ValueError("too few features")
        return Fitted(lambda rows: rows[:, 0])

    monkeypatch.setitem(detectors.DETECTORS, "picky", picky)
    table = start(data, out, ["KNN", "picky"], seeds=1)
    assert "Set one is left out: no result of picky" in table.caption
    text = (out / "benchmark.md").read_text()
    assert "Ranking over 1 set(s)" in text
    assert re.search(r"\| one \| \S+ \| – \|", text)


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


# --- ranking ----------------------------------------------------------------------------------


def made_up(scores):
    """Rows with AUROCs {detector: {set: [one per seed]}}."""
    return [
        {
            "set": name,
            "detector": detector,
            "folder": "here",
            "seed": seed,
            "auroc": value,
            "average_precision": value / 2,
            "fit_seconds": 1.0 + seed,
            "score_seconds": 0.5,
            "error": None,
        }
        for detector, sets in scores.items()
        for name, values in sets.items()
        for seed, value in enumerate(values)
    ]


def test_ranking_equals_hand_computation():
    ranking = rank(
        made_up(
            {
                "A": {"s": [0.8, 0.9], "t": [0.6, 0.6], "u": [0.7, 0.7]},
                "B": {"s": [0.7, 0.7], "t": [0.9, 0.9], "u": [0.7, 0.7]},
                "C": {"s": [0.5, 0.5], "t": [0.5, 0.5], "u": [0.6, 0.6]},
            }
        )
    )
    b, a, c = ranking.lines
    assert (a.detector, b.detector, c.detector) == ("A", "B", "C")
    assert a.auroc == pytest.approx((0.85 + 0.6 + 0.7) / 3)
    assert b.average_precision == pytest.approx((0.7 + 0.9 + 0.7) / 6)
    # On s: A B C; on t: B A C; on u A and B share rank 1.5.
    assert [a.rank, b.rank, c.rank] == pytest.approx([1.5, 1.5, 3])
    assert [a.wins, b.wins, c.wins] == [2, 2, 0]
    # The means over the sets are 2.1/3 and 2.2/3.
    assert a.seed_std == pytest.approx(0.1 / 3 / 2)
    assert (a.median_fit, a.worst_fit, a.median_score) == (1.5, 2.0, 0.5)
    # Friedman's statistic with ties: mean ranks 1.5, 1.5, 3 give 4.5, divided by 1 - 6/72.
    assert ranking.friedman == pytest.approx(np.exp(-4.5 / (1 - 6 / 72) / 2))


def test_p_values_are_wilcoxons_with_holms_correction():
    rng = np.random.default_rng(0)
    first = rng.uniform(size=12)
    others = {"B": first + 0.1, "C": first + rng.normal(size=12), "D": first + 0.2}
    scores = {"A": first, **others}
    rows = made_up(
        {name: {f"s{i}": [v] for i, v in enumerate(values)} for name, values in scores.items()}
    )
    found = {line.detector: line.p_value for line in rank(rows).lines}
    # All twelve differences have one sign in B and D: 2 / 2^12 exactly, the least two of three.
    assert found["A"] is None
    assert found["B"] == found["D"] == pytest.approx(3 * 2 / 2**12)
    assert found["C"] == pytest.approx(wilcoxon(others["C"], first).pvalue)


def test_folders_have_their_means(data, out, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save(other / "three.npz", seed=3)
    start([data, other], out, ["KNN", "PCA", "IForest"], seeds=1)
    text = (out / "benchmark.md").read_text()
    assert "--data data --data other" in text
    header, _, first = text[text.index("| detector |") :].splitlines()[:3]
    cells = dict(zip(header.split(" | "), first.split(" | "), strict=True))
    rows = [row for row in results(out) if row["detector"] == cells["| detector"].strip("| ")]
    own = {name: [float(r["auroc"]) for r in rows if r["folder"] == name] for name in cells}
    assert len(own["data"]) == 2
    for name in ("data", "other"):
        assert float(cells[name]) == pytest.approx(np.mean(own[name]), abs=1e-4)


def test_two_sets_of_one_name_are_an_error(data, out, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save(other / "one.npz")
    with pytest.raises(ValueError, match="have the same name"):
        start([data, other], out)


def test_mixed_in_outliers_are_said_and_measured_apart(data, out):
    start(data, out, ["KNN"], seeds=1)
    clean = results(out)
    start(data, out, ["KNN"], seeds=1, dirty=0.2)
    assert "20% of the outliers, but at least one, are mixed" in (out / "benchmark.md").read_text()
    dirty = results(out)
    assert [float(row["dirty"]) for row in dirty] == [0.2, 0.2]
    assert [int(row["n_train"]) for row in dirty] == [int(row["n_train"]) + 2 for row in clean]


def test_the_front_is_what_none_beats_at_its_cost():
    names = {"cheap": (1, 0.6), "waste": (2, 0.5), "best": (3, 0.7)}
    lines = [
        Line(
            detector=name,
            auroc=auroc,
            folders={},
            average_precision=0.5,
            rank=1,
            wins=0,
            seed_std=None,
            median_fit=seconds,
            worst_fit=1,
            median_score=1,
            p_value=None,
        )
        for name, (seconds, auroc) in names.items()
    ]
    colours = {text.get_text(): text.get_color() for text in front.draw(lines).axes[0].texts}
    assert colours == {"cheap": "tab:red", "waste": "0.35", "best": "tab:red"}


def test_seed_spread_needs_two_seeds():
    assert rank(made_up({"A": {"s": [0.5]}})).lines[0].seed_std is None


def test_sets_lacking_a_seed_do_not_count():
    rows = made_up({"A": {"s": [0.8, 0.9], "t": [0.7, 0.7]}, "B": {"s": [0.8, 0.8], "t": [0.9]}})
    ranking = rank(rows)
    assert ranking.sets == ["s"]
    assert ranking.incomplete == {"t": ["B"]}


@pytest.mark.parametrize(("count", "quantile"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_published_quantiles(count, quantile):
    expected = quantile * np.sqrt(count * (count + 1) / (6 * 14))
    assert critical_difference(count, 14) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("ranks", "cliques"),
    [
        ([1, 2, 3, 4], []),
        ([1, 1.5, 2.2, 4], [(0, 1), (1, 2)]),
        ([1, 1.2, 1.4, 3], [(0, 2)]),
        ([1, 1.9, 1.95, 2.5], [(0, 2), (1, 3)]),
    ],
)
def test_cliques_are_the_largest_groups_closer_than_the_difference(ranks, cliques):
    assert find_cliques(ranks, 1.0) == cliques


@pytest.mark.parametrize("count", [3, 8, 25])
def test_diagram_names_every_detector_without_overlap(count):
    lines = [
        Line(
            detector=f"detector {i}",
            auroc=0.5,
            average_precision=0.5,
            rank=2 + i * (count - 3) / count,
            wins=0,
            seed_std=None,
            median_fit=1,
            worst_fit=1,
            median_score=1,
            folders={},
            p_value=None,
        )
        for i in range(count)
    ]
    figure = draw(lines, 25)
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 for box in boxes)
    assert all(box.y1 <= page.y1 for box in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    for line in lines:
        assert any(line.detector in text.get_text().split("  ") for text in figure.axes[0].texts)


def test_report_states_command_and_seeds_but_no_path(data, out):
    start(data, out)
    text = (out / "benchmark.md").read_text()
    assert "compactflow benchmark --data data --detectors KNN,IForest,PCA --seeds 2" in text
    assert "Seeds 0, 1" in text
    assert str(data.parent) not in text
    assert (out / "critical-difference.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in out.iterdir()} == {
        "journal.jsonl",
        "results.csv",
        "results.parquet",
        "benchmark.md",
        "critical-difference.png",
        "front.png",
    }


# --- wrong input ------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "auroc": "high"},
        lambda row: {**row, "auroc": None},
        lambda row: {**row, "n_test": 1.5},
        lambda row: {**row, "error": 3},
        lambda row: {**row, "seed": [0]},
        lambda row: {**row, "seed": True},
        lambda row: {**row, "set": {}},
        lambda row: {key: value for key, value in row.items() if key != "error"},
        lambda row: [row],
        lambda row: "row",
    ],
)
def test_a_damaged_result_counts_as_not_done(tmp_path, change):
    types = {"auroc": float, "n_test": int}
    task = Task("one", "KNN", 0, "hash", 1, "0.1")
    row = {**task._asdict(), "auroc": 0.5, "n_test": 7, "error": None}
    path = tmp_path / "journal.jsonl"
    lines = [json.dumps(change(row)), "[" * 100_000, '{"error": ' * 100_000, "\xff", ""]
    path.write_text("\n".join(lines))
    journal = Journal(path, types)
    assert journal.rows == {}
    assert journal.find_pending([task]) == [task]
    journal.append(row)
    failed = {**row, "seed": 1, "auroc": None, "error": "it failed"}
    journal.append(failed)
    again = Journal(path, types).rows
    assert list(again.values()) == [row, failed]


def test_journal_lines_are_self_contained(data, out):
    start(data, out, ["PCA"], seeds=1)
    line = json.loads((out / runner.JOURNAL).read_text().splitlines()[0])
    assert line["protocol"] == runner._PROTOCOL
    assert len(line["data"]) == 64
    assert line.keys() >= COLUMNS.keys()
