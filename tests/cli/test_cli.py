import hashlib
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.table import Table
from sklearn.metrics import average_precision_score, roc_auc_score

import compactflow
from compactflow import tables
from compactflow.cli import main
from compactflow.detector import fitting
from compactflow.training.trainer import TrainingDivergedWarning

STEPS = ["--max-steps", "3", "--batch-size", "32"]


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(60, 3)) * [1, 10, 100], columns=["a", "b c", "d.e"])


@pytest.fixture
def folder(tmp_path, monkeypatch, frame):
    """A working folder with a training table."""
    monkeypatch.chdir(tmp_path)
    frame.to_csv("train.csv", index=False)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bytes of a small model of the columns a and b."""
    folder = tmp_path_factory.mktemp("trained")
    X = np.random.default_rng(0).normal(size=(60, 2))
    pd.DataFrame(X, columns=["a", "b"]).to_csv(folder / "train.csv", index=False)
    arguments = ["fit", str(folder / "train.csv"), "--out", str(folder / "model"), *STEPS]
    assert main(arguments) == 0
    return (folder / "model").read_bytes()


@pytest.fixture
def model(folder, trained):
    path = folder / "model"
    path.write_bytes(trained)
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(arguments, capsys, folder, *said):
    """Run a command that must be refused, with one line and no trace on disk."""
    before = contents(folder)
    capsys.readouterr()
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    for words in said:
        assert words in captured.err
    assert contents(folder) == before


# the main job


@pytest.mark.parametrize("suffix", ["csv", "parquet", "feather"])
def test_fit_and_score_a_table(folder, frame, capsys, suffix):
    assert main(["fit", "train.csv", "--out", "my model", *STEPS]) == 0
    out = capsys.readouterr().out
    assert "60 rows and 3 features" in out
    assert "compactflow score 'my model' NEW.csv" in out

    new = pd.concat([frame, frame.tail(5) + 1e4], ignore_index=True)
    shuffled = new.assign(id=[f"row {i}" for i in range(len(new))])[["id", "d.e", "a", "b c"]]
    shuffled.to_csv("new.csv", index=False)
    shuffled.to_parquet("new.parquet")
    shuffled.to_feather("new.feather")
    assert main(["score", "my model", f"new.{suffix}", "--out", f"scores.{suffix}"]) == 0
    captured = capsys.readouterr()
    assert "65 rows" in captured.out
    assert captured.err == ""

    read = getattr(pd, f"read_{suffix}")
    scores = read(f"scores.{suffix}")
    detector = compactflow.load("my model")
    assert list(scores) == ["signed_distance", "decision_function", "is_outlier"]
    # pandas rounds in the last digit when it writes and reads CSV.
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(scores["signed_distance"], detector.signed_distance(new), **close)
    np.testing.assert_allclose(
        scores["decision_function"], detector.decision_function(new), **close
    )
    np.testing.assert_array_equal(scores["is_outlier"], detector.predict(new) == -1)
    assert scores["is_outlier"].tail(5).all()


def test_the_model_knows_its_columns_and_options(folder):
    options = ["--drop", "b c", "--latent", "ball", "--boundary", "natural", "--seed", "7"]
    assert main(["fit", "train.csv", "--out", "model", *STEPS, *options]) == 0
    detector = compactflow.load("model")
    assert list(detector.feature_names_in_) == ["a", "d.e"]
    decided = (detector.latent, detector.boundary, detector.ensemble_.level)
    assert decided == ("ball", "natural", 0)
    assert (detector.max_steps, detector.batch_size, detector.random_state) == (3, 32, 7)


def test_the_same_seed_gives_the_same_model(folder, frame):
    seeds = {"one": "1", "again": "1", "two": "2"}
    for name, seed in seeds.items():
        assert main(["fit", "train.csv", "--out", name, "--seed", seed, *STEPS]) == 0
    one, again, two = (compactflow.load(name).score_samples(frame) for name in seeds)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, two)


def test_a_checkpoint_goes_on_to_the_same_model(folder, frame, capsys):
    fit = ["fit", "train.csv", *STEPS, "--checkpoint", "run"]
    assert main([*fit, "--out", "one"]) == 0
    assert main([*fit, "--out", "again"]) == 0
    one, again = (compactflow.load(name).score_samples(frame) for name in ("one", "again"))
    np.testing.assert_array_equal(one, again)
    refused([*fit, "--out", "two", "--seed", "1"], capsys, folder, "another run", "random_state")


def test_force_replaces_an_output(model, folder, frame):
    old = model.read_bytes()
    assert main(["fit", "train.csv", "--out", "model", "--force", *STEPS]) == 0
    assert model.read_bytes() != old
    (folder / "scores.csv").write_text("old")
    assert main(["score", "model", "train.csv", "--out", "scores.csv", "--force"]) == 0
    assert len(pd.read_csv("scores.csv")) == len(frame)


def test_quiet_says_nothing(model, folder, frame, capsys):
    frame.rename(columns={"b c": "b"}).to_csv("new.csv", index=False)
    assert main(["fit", "train.csv", "--out", "other", "--quiet", *STEPS]) == 0
    assert main(["score", "model", "new.csv", "--out", "scores.csv", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_json_for_machines(folder, frame, capsys):
    assert main(["fit", "train.csv", "--out", "model", "--json", *STEPS]) == 0
    fitted = json.loads(capsys.readouterr().out)
    assert (fitted["rows"], fitted["features"], fitted["model"]) == (60, list(frame), "model")
    pd.concat([frame, frame.tail(3) + 1e4]).to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "scores.csv", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    outliers = int(pd.read_csv("scores.csv")["is_outlier"].sum())
    digest = hashlib.sha256(Path("model").read_bytes()).hexdigest()
    assert scored == {
        "rows": 63,
        "outliers": outliers,
        "scores": "scores.csv",
        "model": digest,
    }


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
    pd.DataFrame({"a": [30.0] * 40, "b": 0.0}).to_csv("new.csv", index=False)
    assert main(["explain", "model", "new.csv", "--top", "1", "--json"]) == 0
    assert [r["row"] for r in json.loads(capsys.readouterr().out)] == list(range(1, 41))
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


def test_set_boundary_moves_it_without_a_refit(model, folder, capsys):
    assert main(["set-boundary", "model", "--level", "0.5", "--out", "half", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    half = compactflow.load("half")
    assert said["inside"] == pytest.approx(0.5, abs=0.2)
    assert said["model"] == "half"
    expected = compactflow.load("model").set_boundary(0.5)
    levels = [each.ensemble_.level for each in (half, expected, compactflow.load("model"))]
    assert levels[0] == levels[1] != levels[2]
    assert main(["set-boundary", "half", "--false-positive-rate", "0.25", "--out", "few"]) == 0
    assert "calibration" in capsys.readouterr().out
    few = expected.set_boundary(0.75).ensemble_.level
    assert compactflow.load("few").ensemble_.level == few
    assert main(["set-boundary", "few", "--level", "0.7", "--out", "few2", "-q"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["set-boundary", "few", "--level", "natural", "--out", "few3"]) == 2
    assert "score_by='support'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ["either a level or a false_positive_rate", "neither"]),
        (["--level", "0.9", "--false-positive-rate", "0.1"], ["both"]),
        (["--level", "1.5"], ["level", "1.5"]),
        (["--level", "high"], ["--level", "high", "natural"]),
        (["--false-positive-rate", "0"], ["false_positive_rate", "0"]),
        (["--level", "0.9", "--out", "model", "--force"], ["also an input"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_set_boundary_refuses_bad_options(model, folder, capsys, arguments, said):
    refused(["set-boundary", "model", "--out", "other", *arguments], capsys, folder, *said)


def test_a_model_that_is_a_folder_is_read(model, folder, capsys):
    compactflow.load(model).save("kept", folder=True)
    (folder / "new.csv").write_text("a,b\n0,0\n")
    for name in ("model", "kept"):
        assert main(["score", name, "new.csv", "--out", f"{name}.csv"]) == 0
    assert (folder / "model.csv").read_bytes() == (folder / "kept.csv").read_bytes()


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


def test_no_progress_bar_without_a_terminal(folder, capsys):
    assert main(["fit", "train.csv", "--out", "model", *STEPS]) == 0
    captured = capsys.readouterr()
    assert "training" not in captured.out + captured.err
    assert "\x1b" not in captured.out + captured.err


def test_constant_columns_are_allowed_and_noted(folder, frame, capsys):
    frame.assign(same=3.0).to_csv("train.csv", index=False)
    assert main(["fit", "train.csv", "--out", "model", *STEPS]) == 0
    note = next(line for line in capsys.readouterr().out.splitlines() if "constant" in line)
    assert "same" in note
    assert "b c" not in note


def test_no_rows_give_no_scores(model, folder):
    (folder / "new.csv").write_text("b,a\n")
    assert main(["score", "model", "new.csv", "--out", "scores.csv"]) == 0
    scores = pd.read_csv("scores.csv")
    assert list(scores) == ["signed_distance", "decision_function", "is_outlier"]
    assert len(scores) == 0


def test_a_training_warning_is_one_line_and_the_model_is_kept(folder, capsys, monkeypatch):
    def train(*args, **kwargs):
        warnings.warn("training stopped\nat step 3", TrainingDivergedWarning, stacklevel=2)
        return original(*args, **kwargs)

    original = fitting.train
    monkeypatch.setattr(fitting, "train", train)
    assert main(["fit", "train.csv", "--out", "model", *STEPS]) == 0
    assert capsys.readouterr().err == "warning: training stopped at step 3\n"
    assert (folder / "model").is_file()


# labels, columns to keep, the furthest rows, spellings


def test_labelled_outliers_are_left_out_of_training(folder, frame, capsys):
    labelled = frame.assign(label=[0] * 55 + [1] * 5)
    labelled.iloc[-5:, :3] = 1e6
    labelled["truth"] = labelled["label"] == 1
    labelled["sk"] = 1 - 2 * labelled["label"]
    levels = set()
    for name in ("label", "truth", "sk"):
        labelled[[*frame, name]].to_csv("labelled.csv", index=False)
        fit = ["fit", "labelled.csv", "--out", name, "--label", name, "--json", *STEPS]
        assert main(fit) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["rows"], said["labelled_outliers"]) == (55, 5)
        assert said["features"] == list(frame)
        levels.add(compactflow.load(name).ensemble_.level)
    assert len(levels) == 1


def test_labels_judge_scores(model, folder, capsys):
    rng = np.random.default_rng(1)
    new = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    new.iloc[:5] += 3
    new["bad"] = np.arange(30) < 5
    new.to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "s.csv", "--label", "bad", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    distance = compactflow.load("model").signed_distance(new[["a", "b"]])
    assert said["auroc"] == pytest.approx(roc_auc_score(new["bad"], distance))
    assert said["average_precision"] == pytest.approx(
        average_precision_score(new["bad"], distance)
    )
    assert main(["score", "model", "new.csv", "--out", "s2.csv", "--label", "bad"]) == 0
    assert re.search(rf"AUROC +{said['auroc']:.4f}\n", capsys.readouterr().out)
    new.assign(bad=0).to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "s3.csv", "--label", "bad", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["auroc"] is None
    new.assign(bad=2).to_csv("new.csv", index=False)
    refused(
        ["score", "model", "new.csv", "--out", "s4.csv", "--label", "bad"],
        *(capsys, folder, "column 'bad' holds 2", "1 or true for outliers"),
    )


def test_labels_that_are_words_are_refused_with_what_to_do(model, folder, capsys):
    (folder / "new.csv").write_text("a,b,state\n1,2,ok\n3,4,fault\n")
    said = ["column 'state', row 1 is 'ok'", "--label takes 1 or true for outliers", "--outlier"]
    refused(["score", "model", "new.csv", "--top", "1", "--label", "state"], capsys, folder, *said)
    refused(["fit", "new.csv", "--out", "other", "--label", "state"], capsys, folder, *said)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("labels", "outliers"),
    [
        (["ok", "a fault", "drift"], ["a fault", "drift"]),
        ([0, 1, 2], ["1", "2.0"]),
        ([0.5, 7.0, 8.0], ["7", "8"]),
    ],
)
def test_any_labels_serve_if_outliers_are_named(suffix, labels, outliers, folder, frame, capsys):
    labelled = frame.assign(state=[labels[0]] * 55 + labels[1:] * 2 + labels[1:2])
    name = f"labelled{suffix}"
    getattr(labelled, {".csv": "to_csv", ".parquet": "to_parquet"}[suffix])(name, index=False)
    said = ["--label", "state", *(word for each in outliers for word in ("--outlier", each))]
    assert main(["fit", name, "--out", "other", *said, "--json", *STEPS]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["labelled_outliers"]) == (55, 5)
    assert summary["features"] == list(frame)
    assert (
        main(["score", "other", name, "--out", "s.csv", *said, "--keep", "state", "--json"]) == 0
    )
    scores = pd.read_csv("s.csv")
    assert scores["state"].astype(str).tolist() == labelled["state"].astype(str).tolist()
    auroc = roc_auc_score(np.arange(60) >= 55, scores["signed_distance"])
    assert json.loads(capsys.readouterr().out)["auroc"] == pytest.approx(auroc)


def test_labels_that_are_missing_or_mistyped_are_refused(model, folder, capsys):
    (folder / "new.csv").write_text("a,b,state\n1,2,ok\n3,4,\n")
    label = ["--label", "state", "--outlier"]
    said = [capsys, folder, "column 'state', row 2 has no label"]
    refused(["fit", "new.csv", "--out", "other", *label, "ok"], *said)
    refused(["score", "model", "new.csv", "--top", "1", *label, "ok"], *said)
    (folder / "new.csv").write_text("a,b,state\n1,2,ok\n3,4,fault\n")
    said = [capsys, folder, "no --outlier 'Fault'; it holds 'ok', 'fault'"]
    refused(["fit", "new.csv", "--out", "other", *label, "Fault"], *said)
    refused(["fit", "new.csv", "--out", "other", "--outlier", "x"], capsys, folder, "give --label")


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


# wrong input

ROWS = "1,2\n3,4\n5,6\n"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a,b\n1,2\n3,nan\n5,6\n", ["column 'b', row 2", "nan"]),
        ("a,b\n1,2\n3,4\n,6\n", ["column 'a', row 3 is empty"]),
        ("a,b\n1,2\nhigh,4\n", ["column 'a', row 2", "high"]),
        ("a,b\n1,inf\n3,4\n", ["column 'b', row 1", "inf"]),
        ("a,b\n1,2\n", ["1 sample", "minimum of 2"]),
        ("a,b\n", ["0 sample", "minimum of 2"]),
        ("", ["cannot be read", "mpty"]),
        ("a,a\n" + ROWS, ["several columns named 'a'"]),
        (",a\n" + ROWS, ["column 1 has no name"]),
        ("a,b\n1,2\n3\n", ["Expected 2 columns, got 1"]),
    ],
)
def test_fit_refuses_a_bad_table(folder, capsys, table, said):
    (folder / "bad.csv").write_text(table)
    refused(["fit", "bad.csv", "--out", "model", *STEPS], capsys, folder, *said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backbone", "couplin"], ["couplin", "did you mean 'coupling'"]),
        (["--latent", "sphere"], ["latent", "sphere"]),
        (["--preset", "papr"], ["preset", "papr"]),
        (["--max-steps", "0"], ["max_steps", "0"]),
        (["--max-steps", "many"], ["--max-steps", "compactflow fit --help"]),
        (["--batch-size", "-1"], ["batch_size"]),
        (["--learning-rate", "0"], ["learning_rate"]),
        (["--learning-rate", "nan"], ["learning_rate", "nan"]),
        (["--validation-fraction", "1"], ["validation_fraction"]),
        (["--boundary", "1.5"], ["boundary", "1.5"]),
        (["--boundary", "nature"], ["boundary", "nature", "natural"]),
        (["--device", "abacus"], ["device", "abacus"]),
        (["--seed", "-1"], ["--seed", "greater than or equal to 0"]),
        (["--drop", "z"], ["no column 'z'", "train.csv"]),
        (["--drop", "a", "--drop", "b c", "--drop", "d.e"], ["no column left"]),
        (["--colour", "red"], ["--colour", "compactflow fit --help"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_fit_refuses_a_bad_option(folder, capsys, options, said):
    refused(["fit", "train.csv", "--out", "model", *options], capsys, folder, *said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.csv", "--out", "model"], ["no file", "none.csv"]),
        ([".", "--out", "model"], ["must end in .csv or .parquet"]),
        (["train.xlsx", "--out", "model"], ["train.xlsx", ".csv or .parquet"]),
        (["train.csv"], ["--out", "compactflow fit --help"]),
        ([], ["TRAIN", "compactflow fit --help"]),
        (["train.csv", "--out", "taken"], ["taken exists", "--force"]),
        (["train.csv", "--out", "train.csv", "--force"], ["also an input"]),
        (["train.csv", "--out", "."], ["is a folder"]),
        (["train.csv", "--out", "nowhere/model"], ["cannot write in nowhere"]),
        (["train.csv", "--out", "taken/model"], ["cannot write in taken"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_fit_refuses_bad_paths(folder, capsys, arguments, said):
    (folder / "taken").write_text("mine")
    (folder / "train.xlsx").write_text("a table")
    refused(["fit", *arguments], capsys, folder, *said)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder no one can write in")
def test_fit_refuses_a_folder_it_cannot_write_in(folder, capsys):
    refused(["fit", "train.csv", "--out", "/proc/model"], capsys, folder, "cannot write in /proc")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a,c\n" + ROWS, ["no column 'b'", "'a', 'c'"]),
        ("A,B\n" + ROWS, ["no columns 'a', 'b'"]),
        ("a,b,b\n1,2,3\n", ["several columns named 'b'"]),
        ("a,b\n" + ROWS * 5000 + "7,\n", ["column 'b', row 15001 is empty"]),
        ("a,b\nx,2\n", ["column 'a', row 1", "'x'"]),
        ("", ["cannot be read"]),
    ],
    ids=["one missing", "two missing", "repeated", "empty cell", "text", "empty file"],
)
def test_score_refuses_a_bad_table(model, folder, capsys, table, said):
    (folder / "bad.csv").write_text(table)
    refused(["score", "model", "bad.csv", "--out", "scores.csv"], capsys, folder, *said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model", "none.csv", "--out", "scores.csv"], ["no file", "none.csv"]),
        (["none", "new.csv", "--out", "scores.csv"], ["no model file", "none"]),
        (["new.csv", "new.csv", "--out", "scores.csv"], ["new.csv", "not a compactflow model"]),
        (["cut", "new.csv", "--out", "scores.csv"], ["cut", "not a compactflow model"]),
        (["unnamed", "new.csv", "--out", "scores.csv"], ["unnamed", "without column names"]),
        (["model", "new.csv", "--out", "scores.txt"], ["scores.txt", ".csv or .parquet"]),
        (["model", "new.csv", "--out", "taken.csv"], ["taken.csv exists", "--force"]),
        (["model", "new.csv", "--out", "new.csv", "--force"], ["also an input"]),
        (["model", "new.csv", "--out", "nowhere/scores.csv"], ["cannot write in nowhere"]),
        (["model", "new.csv", "--out", "scores.csv", "--device", "abacus"], ["abacus"]),
        (["model", "--out", "scores.csv"], ["NEW", "compactflow score --help"]),
        (["model", "bad.arrow", "--out", "scores.csv"], ["bad.arrow cannot be read"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_score_refuses_bad_arguments(model, folder, capsys, arguments, said):
    (folder / "new.csv").write_text("a,b\n" + ROWS)
    (folder / "taken.csv").write_text("mine")
    (folder / "bad.arrow").write_text("a,b\n" + ROWS)
    (folder / "cut").write_bytes(model.read_bytes()[:-100])
    X = np.random.default_rng(0).normal(size=(20, 2))
    compactflow.build(max_steps=1, random_state=0).fit(X).save("unnamed")
    refused(["score", *arguments], capsys, folder, *said)


def test_a_bug_is_not_taken_for_wrong_input(folder, monkeypatch):
    def train(*args, **kwargs):
        raise RuntimeError("a bug")

    monkeypatch.setattr(fitting, "train", train)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["fit", "train.csv", "--out", "model"])
    assert set(contents(folder)) == {"train.csv"}


# listings, help and the other commands


def test_plugins_lists_the_components_of_a_kind(capsys):
    assert main(["plugins", "--kind", "latent", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"cube", "ball", "gaussian"} <= {row["name"] for row in rows}
    columns = {"name", "kind", "distribution", "version", "status", "summary", "error"}
    assert all(set(row) == columns for row in rows)
    cube = next(row for row in rows if row["name"] == "cube")
    assert (cube["kind"], cube["distribution"], cube["status"]) == (
        "latent",
        "compactflow",
        "built-in",
    )


def test_plugins_as_a_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    assert "coupling" in out
    # Square brackets are markup to the table's printer, and must come through.
    assert "Uniform on the hypercube [-1, 1]^D" in out


def test_plugins_refuses_an_unknown_kind(tmp_path, capsys):
    refused(["plugins", "--kind", "pusher"], capsys, tmp_path, "--kind", "backbone", "pusher")


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


def test_an_interrupt_ends_with_its_code(folder, monkeypatch):
    def train(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "train", train)
    assert main(["fit", "train.csv", "--out", "model"]) == 130
    assert set(contents(folder)) == {"train.csv"}


@pytest.mark.parametrize(
    "command",
    [
        *("set-boundary", "fit", "score", "explain", "report", "plugins", "new-plugin"),
        *("reproduce", "combinations", "benchmark", "samples"),
    ],
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_an_example(command, flag, capsys):
    assert main([command, flag]) == 0
    assert f"Example: compactflow {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_names_the_commands(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ["fit", "score", "plugins", "reproduce"])


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"compactflow {compactflow.__version__}\n"


def test_an_unknown_command(tmp_path, capsys):
    refused(["train"], capsys, tmp_path, "train", "compactflow --help")


def test_plugins_as_a_process_imports_no_torch():
    program = (
        "import sys; from compactflow.cli import main; code = main(['plugins', '--json'])\n"
        "assert not {'torch', 'sklearn', 'pyarrow'} & set(sys.modules); sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)


def test_the_exit_code_of_the_process(tmp_path):
    command = [sys.executable, "-m", "compactflow", "fit", "none.csv", "--out", "model"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_new_plugin_writes_a_package(tmp_path, capsys):
    assert main(["new-plugin", "torus", "--kind", "latent", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "compactflow-torus" / "pyproject.toml").is_file()
    assert "pip install" in capsys.readouterr().out
    assert main(["new-plugin", "torus", "--kind", "latent", "--out", str(tmp_path)]) == 2
    assert main(["new-plugin", "Torus", "--kind", "latent", "--out", str(tmp_path)]) == 2
    assert main(["new-plugin", "torus", "--kind", "shape", "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True] * 3
    other = ["new-plugin", "ring", "--kind", "latent", "--out", str(tmp_path), "--json"]
    assert main(other) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["package"] == str(tmp_path / "compactflow-ring")
    assert all(Path(path).is_file() for path in made["files"])


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
