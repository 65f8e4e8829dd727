import json
import re

import pandas as pd
import pytest
from commands import refused

from compactflow import tables
from compactflow.cli import main


def test_explain_prints_a_table_json_or_writes_a_file(model, folder, capsys):
    rows = pd.DataFrame({"b": [0.0, 0, 0], "a": [0.0, 40, 0], "id": ["x", "y", "z"]})
    rows.to_csv("new.csv", index=False)
    assert main(["explain", "model", "new.csv"]) == 0
    out = capsys.readouterr().out
    assert "inlier at" in out
    assert re.search(r"outliers +1\n", out)
    assert main(["explain", "model", "new.csv", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["row"], record["feature"], record["value"]) == (2, "a", 40)
    assert record["counterfactual"] == pytest.approx(40 + record["difference"])
    assert main(["explain", "model", "new.csv", "--json", "--out", "why.arrow"]) == 0
    assert json.loads(capsys.readouterr().out) == {"outliers": 1, "explanations": "why.arrow"}
    assert pd.read_feather("why.arrow").to_dict("records") == [record]


def test_explain_counts_rows_over_batches_and_prints_the_first(model, folder, capsys, monkeypatch):
    monkeypatch.setattr(tables.formats, "_BLOCK_BYTES", 64)
    pd.DataFrame({"a": [30.0] * 22, "b": 0.0}).to_csv("new.csv", index=False)
    assert main(["explain", "model", "new.csv", "--top", "1", "--json"]) == 0
    assert [r["row"] for r in json.loads(capsys.readouterr().out)] == list(range(1, 23))
    assert main(["explain", "model", "new.csv", "--top", "1"]) == 0
    assert "the first 20" in capsys.readouterr().out


def test_explain_without_outliers(model, folder, capsys):
    (folder / "new.csv").write_text("a,b\n0,0\n")
    assert main(["explain", "model", "new.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["explain", "model", "new.csv", "--out", "why.csv", "--quiet"]) == 0
    assert list(pd.read_csv("why.csv"))[:2] == ["row", "signed_distance"]
    assert main(["explain", "model", "new.csv"]) == 0
    assert re.search(r"outliers +0\n", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_report_writes_one_page(model, folder, capsys):
    (folder / "new.csv").write_text("b,a\n0,0\n1,1\n0,40\n")
    assert main(["report", "model", "new.csv", "--out", "report.html"]) == 0
    assert "report.html" in capsys.readouterr().out
    text = (folder / "report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "model on new.csv" in text
    (folder / "new.csv").write_text("b,a\n0,0\n0,40\n")
    assert main(["report", "model", "new.csv", "--out", "report.html", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "rows": 2,
        "outliers": 1,
        "report": "report.html",
    }
    (folder / "new.csv").write_text("b,a\n")
    refused(["report", "model", "new.csv", "--out", "other.html"], capsys, folder, "no rows")
