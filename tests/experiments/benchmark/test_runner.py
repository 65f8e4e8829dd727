import functools
import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from benches import CHEAP, results, save, start

from compactflow.experiments import datasets
from compactflow.experiments.benchmark import detectors, runner
from compactflow.experiments.benchmark.journal import Journal
from compactflow.experiments.benchmark.report import COLUMNS
from compactflow.plugins import EngineSpec, registry
from compactflow.workers import Workers


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
def test_another_process_does_not_change_results(data, tmp_path):
    """Of one task, as each process that begins to work takes seconds to import."""
    save(data / "near.npz", outliers=40, centre=0)
    chosen = {"detectors": ["IForest"], "sets": ["near"], "seeds": 1}
    start(data, tmp_path / "a", **chosen)
    start(data, tmp_path / "b", jobs=2, **chosen)
    (first,), (second,) = results(tmp_path / "a"), results(tmp_path / "b")
    assert first["auroc"] == second["auroc"] < "1"


class Backwards(Workers):
    """An engine that takes the last task first."""

    def run(self, function, shared, tasks):
        found = [function(shared, task) for task in reversed(tasks)]
        return reversed(found)


def test_an_engine_does_not_change_results(data, tmp_path):
    for name, seed in (("one", 0), ("two", 1)):
        save(data / f"{name}.npz", outliers=40, centre=0, seed=seed)
    start(data, tmp_path / "a", ["IForest"])
    with registry.isolated():
        registry.register(EngineSpec(name="back", target=f"{__name__}:Backwards"))
        start(data, tmp_path / "b", ["IForest"], engine="back")
    first, second = results(tmp_path / "a"), results(tmp_path / "b")
    assert [row["auroc"] for row in first] == [row["auroc"] for row in second]
    assert len({row["auroc"] for row in first}) == 4
    assert "--seeds 2 --engine back" in (tmp_path / "b" / "benchmark.md").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("small_default")
def test_variants_run_by_name_only_and_differ_from_the_default(data):
    train, test, _ = datasets.split(*datasets.load_npz(data / "one.npz"), 0)
    # Correlated, or whitening would have nothing to do.
    train, test = (rows + 3 * rows[:, :1] for rows in (train, test))
    few = functools.partial(detectors.fit_ours, max_steps=1)
    scores = few(train, 0).score(test)
    for name, variant in detectors.VARIANTS.items():
        options = variant.keywords | {"max_steps": 2 if name == "half the steps" else 1}
        assert name not in runner._choose(None)[0]
        assert runner._choose([name])[0] == [name]
        assert np.abs(detectors.fit_ours(train, 0, **options).score(test) - scores).max() > 1e-9


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
