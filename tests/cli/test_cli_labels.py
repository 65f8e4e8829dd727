import json
import re

import numpy as np
import pandas as pd
import pytest
from commands import STEPS, refused
from sklearn.metrics import average_precision_score, roc_auc_score

import compactflow
from compactflow.cli import main


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
