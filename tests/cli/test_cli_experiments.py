import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rich.table import Table

from compactflow.cli import main


def test_reproduce_passes_its_options_on(monkeypatch):
    calls = []
    module = SimpleNamespace(reproduce=lambda names, **options: calls.append((names, options)))
    monkeypatch.setitem(sys.modules, "compactflow.experiments.reproduce", module)
    assert main(["reproduce", "--quick", "--out", "here"]) == 0
    table = ["reproduce", "table1", "--features", "f.npz", "--detectors", "KNN,ours"]
    assert main([*table, "--seeds", "2"]) == 0
    open_ = {"features": None, "detectors": None, "seeds": None, "quiet": False}
    given = {"quiet": False, "features": Path("f.npz"), "detectors": ["KNN", "ours"], "seeds": 2}
    assert calls == [
        (["fig1", "table1"], {"out": Path("here"), "quick": True, **open_}),
        (["table1"], {"out": Path("results"), "quick": False, **given}),
    ]


def test_reproduce_as_json(monkeypatch, capsys):
    table = Table("detector", "AUROC")
    table.add_row("KNN", "0.987")
    module = SimpleNamespace(
        reproduce=lambda names, **options: {"fig1": None, "table1": table},
        EXPERIMENTS={"fig1": ("", ("a.png",)), "table1": ("", ("t.csv", "t.md"))},
    )
    monkeypatch.setitem(sys.modules, "compactflow.experiments.reproduce", module)
    assert main(["reproduce", "--json", "--out", "here"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "fig1": {"files": ["here/a.png"], "table": None},
        "table1": {
            "files": ["here/t.csv", "here/t.md"],
            "table": [{"detector": "KNN", "AUROC": "0.987"}],
        },
    }


def test_combinations_checks_its_data_before_any_work(tmp_path, capsys):
    assert main(["combinations", "none.npz", "--out", str(tmp_path / "table.csv")]) == 2
    assert "none.npz" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_benchmark_writes_its_tables(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(10, 2)) + 8])
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", X=X, y=np.repeat([0, 1], [60, 10]))
    arguments = ["benchmark", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--detectors", "KNN,PCA", "--seeds", "1"]) == 0
    assert "KNN" in capsys.readouterr().out
    assert (tmp_path / "out" / "benchmark.md").is_file()
    assert main([*arguments, "--detectors", "KNN,PCA", "--seeds", "1", "--json"]) == 0
    ranking = json.loads(capsys.readouterr().out)
    assert {row["detector"] for row in ranking} == {"KNN", "PCA"}
    assert main([*arguments, "--detectors", "KNM"]) == 2
    assert "KNM" in capsys.readouterr().err
