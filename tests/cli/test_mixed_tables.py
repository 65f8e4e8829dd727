"""The commands of the five-minute start on a table with every kind of column, gaps included."""

import json

import numpy as np
import pandas as pd
import pytest

from compactflow.cli import main

FEW = ["--max-steps", "5", "--members", "2"]


def make(rows, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": [f"order {seed}-{i}" for i in range(rows)],
            "shop": rng.choice(["Oslo", "Rome"], rows),
            "vip": rng.random(rows) < 0.5,
            "day": [f"{d:02}.{m:02}.2024" for d, m in rng.integers(1, [29, 13], (rows, 2))],
            "at": [f"{h:02}:{m:02}" for h, m in rng.integers(0, [24, 60], (rows, 2))],
            "pieces": rng.poisson(3, rows),
            "price": rng.normal(10, 1, rows).round(2),
            "size": rng.choice(["1,5", "2,5", "3,5", "ERR"], rows),
        }
    )
    frame.loc[rng.random(rows) < 0.2, "price"] = np.nan
    return frame


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(120, 0).to_csv("train.csv", index=False, sep=";", decimal=",")
    new = make(12, 1)
    new.loc[1, "shop"] = "Paris"
    new.loc[2, "price"] = 99.5
    new.to_csv("new.csv", index=False, sep=";", decimal=",")
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_a_table_goes_from_csv_to_a_report(folder, capsys):
    assert main(["fit", "train.csv", "--out", "shop.model", *FEW, "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert columns["shop"] == "category: 2 values"
    assert columns["day"].startswith("date (%d.%m.%Y): ")
    assert columns["vip"] == "boolean"
    assert columns["size"] == "number; words among numbers: 2 values"
    assert columns["id"].startswith("left out: ")
    moved = ["set-boundary", "shop.model", "--false-positive-rate", "0.2", "--out", "c.model"]
    assert main(moved) == 0
    assert main(["score", "c.model", "new.csv", "--out", "scores.csv", "--keep", "id"]) == 0
    scores = pd.read_csv("scores.csv")
    assert scores["id"].tolist() == [f"order 1-{i}" for i in range(12)]
    assert scores["is_outlier"][[1, 2]].all()
    assert main(["explain", "c.model", "new.csv", "--out", "why.csv", "--top", "1"]) == 0
    why = pd.read_csv("why.csv").set_index("row")
    assert (why.loc[2, "feature"], why.loc[2, "value"]) == ("shop", "Paris")
    assert (why.loc[3, "feature"], why.loc[3, "value"]) == ("price", "99.5")
    assert main(["report", "c.model", "new.csv", "--out", "report.html"]) == 0
    assert "Paris" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_cell_of_another_kind_is_named_by_its_row_in_the_file(folder, capsys):
    assert main(["fit", "train.csv", "--out", "shop.model", *FEW]) == 0
    bad = make(12, 2).astype({"pieces": object})
    bad.loc[6, "pieces"] = "many"
    bad.to_csv("bad.csv", index=False, sep=";", decimal=",")
    capsys.readouterr()
    assert main(["score", "shop.model", "bad.csv", "--out", "scores.csv"]) == 2
    said = capsys.readouterr().err
    assert "bad.csv: column 'pieces', row 7 is 'many', not a number" in said
    assert not (folder / "scores.csv").exists()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["a,b", "1,2"], "t.csv has 1 sample, and training takes"),
        (["a,b"], "t.csv has 0 samples, and training takes"),
        (["a,b", *(f"{i},${i}.99" for i in range(20))], "t.csv: column 'b', row 1 is '$0.99'"),
        (["a,b", "inf,x", *(f"{i},x" for i in range(20))], "t.csv: column 'a', row 1 is 'inf'"),
    ],
)
def test_a_table_that_trains_nothing_is_named(tmp_path, monkeypatch, capsys, cells, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("\n".join(cells) + "\n")
    assert main(["fit", "t.csv", "--out", "model", *FEW]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
