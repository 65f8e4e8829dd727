import re

import numpy as np
import pytest
from benches import results, save, start

from compactflow.experiments.benchmark import detectors
from compactflow.experiments.benchmark.detectors import Fitted


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


def test_folders_have_their_means(data, out, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save(other / "three.npz", seed=3)
    start([data, other], out, ["KNN", "PCA", "LOF"], seeds=1)
    text = (out / "benchmark.md").read_text()
    assert "--data data --data other" in text
    header, _, first = text[text.index("| detector |") :].splitlines()[:3]
    cells = dict(zip(header.split(" | "), first.split(" | "), strict=True))
    rows = [row for row in results(out) if row["detector"] == cells["| detector"].strip("| ")]
    own = {name: [float(r["auroc"]) for r in rows if r["folder"] == name] for name in cells}
    assert len(own["data"]) == 2
    for name in ("data", "other"):
        assert float(cells[name]) == pytest.approx(np.mean(own[name]), abs=1e-4)


def test_mixed_in_outliers_are_said_and_measured_apart(data, out):
    start(data, out, ["KNN"], seeds=1)
    clean = results(out)
    start(data, out, ["KNN"], seeds=1, dirty=0.2)
    assert "20% of the outliers, but at least one, are mixed" in (out / "benchmark.md").read_text()
    dirty = results(out)
    assert [float(row["dirty"]) for row in dirty] == [0.2, 0.2]
    assert [int(row["n_train"]) for row in dirty] == [int(row["n_train"]) + 2 for row in clean]


def test_report_states_command_and_seeds_but_no_path(data, out):
    start(data, out)
    text = (out / "benchmark.md").read_text()
    assert "compactflow benchmark --data data --detectors KNN,LOF,PCA --seeds 2" in text
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
