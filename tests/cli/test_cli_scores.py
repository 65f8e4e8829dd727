import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from commands import STEPS, refused

from compactflow import tables
from compactflow.cli import main


def test_no_rows_give_no_scores(model, folder):
    (folder / "new.csv").write_text("b,a\n")
    assert main(["score", "model", "new.csv", "--out", "scores.csv"]) == 0
    scores = pd.read_csv("scores.csv")
    assert list(scores) == ["signed_distance", "decision_function", "is_outlier"]
    assert len(scores) == 0


@pytest.mark.parametrize("name", ["s.csv.gz", "s.TSV.bz2", "s.csv.zst"])
def test_tables_of_text_are_written_compressed(name, model, folder, frame):
    frame.set_axis(["a", "b", "c"], axis=1).to_csv("new.csv", index=False)
    for out in ("plain.csv", name):
        assert main(["score", "model", "new.csv", "--out", out, "--quiet"]) == 0
    with pa.input_stream(name, compression="detect") as stream:
        text = stream.read().decode()
    assert text.replace("\t", ",") == Path("plain.csv").read_text()
    assert Path(name).stat().st_size < len(text)


def test_only_text_is_written_compressed(model, folder, capsys):
    arguments = ["score", "model", "train.csv", "--out"]
    refused([*arguments, "s.parquet.gz"], capsys, folder, "s.parquet.gz", "a text format")
    refused([*arguments, "s.gz"], capsys, folder, "s.gz", ".csv")


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_an_identifier_left_in_is_said_at_fit_and_when_scoring(folder, frame, capsys):
    frame.assign(id=range(60)).to_csv("train.csv", index=False)
    assert main(["fit", "train.csv", "--out", "model", *STEPS]) == 0
    assert "'id' numbers the rows" in capsys.readouterr().err
    frame.assign(id=range(60, 120)).to_csv("new.csv", index=False)
    commands = {
        "score": ["--out", "scores.csv"],
        "explain": ["--top", "1", "--out", "why.csv"],
        "report": ["--out", "report.html"],
    }
    for command, options in commands.items():
        assert main([command, "model", "new.csv", *options]) == 0
        warning = capsys.readouterr().err
        assert "'id' (0 to 59 in training, 60 of 60 rows outside)" in warning
        assert warning.count("warning: ") == 1


def test_columns_are_kept_and_the_furthest_rows_come_first(model, folder, capsys):
    new = pd.DataFrame({"id": ["007", "=1", "x", "y"], "a": [0.0, 40, 9, 0], "b": 0.0})
    new.to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "all.csv", "--keep", "id"]) == 0
    scores = pd.read_csv("all.csv", dtype={"id": str})
    assert list(scores) == ["id", "signed_distance", "decision_function", "is_outlier"]
    assert scores["id"].tolist() == ["007", "'=1", "x", "y"]
    capsys.readouterr()
    top = ["score", "model", "new.csv", "--top", "2"]
    assert main([*top, "--keep", "id", "--out", "top.parquet", "--quiet"]) == 0
    furthest = pd.read_parquet("top.parquet")
    assert furthest["row"].tolist() == [2, 3]
    assert furthest["id"].tolist() == ["=1", "x"]
    assert furthest["signed_distance"].tolist() == pytest.approx(
        scores["signed_distance"].tolist()[1:3]
    )
    assert main(top) == 0
    assert "signed_distance" in capsys.readouterr().out
    assert main([*top, "--json"]) == 0
    assert [row["row"] for row in json.loads(capsys.readouterr().out)["top"]] == [2, 3]
    assert main(["explain", "model", "new.csv", "--keep", "id", "--json", "--top", "1"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == ["=1", "x"]
    assert main(["explain", "model", "new.csv", "--keep", "id", "--out", "why.csv"]) == 0
    assert pd.read_csv("why.csv")["id"].unique().tolist() == ["'=1", "x"]
    refused(["score", "model", "new.csv"], capsys, folder, "--out", "--top")
    new.rename(columns={"id": "row"}).to_csv("new.csv", index=False)
    refused([*top, "--keep", "row"], capsys, folder, "--keep 'row'", "rename")
    refused([*top, "--keep", "none"], capsys, folder, "no column 'none'")


def test_the_furthest_rows_over_batches(model, folder, capsys, monkeypatch):
    monkeypatch.setattr(tables.formats, "_BLOCK_BYTES", 64)
    values = np.random.default_rng(0).normal(size=200) * 9
    pd.DataFrame({"a": values, "b": 0.0}).round(3).to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "all.csv"]) == 0
    assert main(["score", "model", "new.csv", "--top", "7", "--out", "top.csv"]) == 0
    scores, top = pd.read_csv("all.csv"), pd.read_csv("top.csv")
    expected = scores["signed_distance"].sort_values(ascending=False, kind="stable")[:7]
    assert top["row"].tolist() == (expected.index + 1).tolist()
    assert top["signed_distance"].tolist() == expected.tolist()


def test_a_table_in_another_spelling(model, folder, frame, capsys):
    frame = frame.rename(columns={"b c": "b"})[["a", "b"]] / [1, 10]
    frame.to_csv("usual.csv", index=False)
    frame.to_csv("semicolon.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    assert main(["score", "model", "usual.csv", "--out", "one.csv"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["score", "model", "semicolon.csv", "--out", "two.csv"]) == 0
    note = capsys.readouterr().err
    assert note.startswith("note: semicolon.csv: read with separator semicolon, decimal comma")
    quiet = ["score", "model", "semicolon.csv", "--out", "quiet.csv", "--quiet"]
    assert main(quiet) == 0
    assert capsys.readouterr() == ("", "")
    given = ["--sep", ";", "--decimal", ",", "--encoding", "utf-16", "--header"]
    assert main(["score", "model", "semicolon.csv", "--out", "three.csv", *given]) == 0
    assert capsys.readouterr().err == ""
    scores = [(folder / name).read_bytes() for name in ("one.csv", "two.csv", "three.csv")]
    assert scores[0] == scores[1] == scores[2]


def test_a_table_without_a_header_keeps_its_first_row(folder, frame, capsys):
    frame.to_csv("bare.csv", index=False, header=False)
    assert main(["fit", "bare.csv", "--out", "one", "--json", *STEPS]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"] == len(frame)
    assert json.loads(captured.out)["features"] == ["x0", "x1", "x2"]
    assert "note: bare.csv: the first line" in captured.err
    assert main(["fit", "bare.csv", "--out", "two", "--no-header", "--json", *STEPS]) == 0
    captured = capsys.readouterr()
    assert (json.loads(captured.out)["rows"], captured.err) == (len(frame), "")
    frame.head(2).to_csv("two.csv", index=False, header=False)
    assert main(["score", "two", "two.csv", "--top", "5", "--no-header", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2
