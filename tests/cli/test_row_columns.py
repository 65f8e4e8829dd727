"""Columns that say something of rows: which they are, what they count, which are outliers."""

import json

import numpy as np
import pandas as pd
import pytest

import compactflow
from compactflow.cli import main

QUICK = ["--max-steps", "3", "--members", "1"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(80, 2)), columns=["heat", "rpm"])
    table["pump"] = [f"p{i}" for i in range(80)]
    table["trust"] = np.repeat([1.0, 0.0], [70, 10])
    table.loc[70:, "heat"] += 50
    table.to_csv("train.csv", index=False)
    return table


def test_weights_of_a_column_are_those_of_fit(table, capsys):
    options = ["--id", "pump", "--weight", "trust", *QUICK, "--json"]
    assert main(["fit", "train.csv", "--out", "model", *options]) == 0
    assert json.loads(capsys.readouterr().out)["features"] == ["heat", "rpm"]
    same = compactflow.build(max_steps=3, members=1, random_state=0)
    X = table[["heat", "rpm"]]
    same.fit(X, sample_weight=table["trust"])
    loaded = compactflow.load("model")
    np.testing.assert_allclose(loaded.signed_distance(X), same.signed_distance(X))
    assert (loaded.predict(X[70:]) == -1).all()


@pytest.mark.parametrize(
    ("cell", "said"),
    [("-1", "the column 'trust' must be finite and at least 0, got -1 in row 3"), ("", "row 3")],
)
def test_weights_that_are_none_are_refused(table, cell, said, capsys):
    table["trust"] = table["trust"].astype(object)
    table.loc[2, "trust"] = cell
    table.to_csv("train.csv", index=False)
    arguments = ["fit", "train.csv", "--out", "model", "--weight", "trust", "--id", "pump"]
    assert main([*arguments, *QUICK]) == 2
    assert said in capsys.readouterr().err


def test_an_id_rides_along(table, capsys):
    fit = ["fit", "train.csv", "--out", "model", "--id", "pump", "--drop", "trust", *QUICK, "-q"]
    assert main(fit) == 0
    assert main(["score", "model", "train.csv", "--out", "s.csv", "--id", "pump", "-q"]) == 0
    assert pd.read_csv("s.csv")["pump"].tolist() == table["pump"].tolist()
    explain = ["explain", "model", "train.csv", "--out", "e.csv", "--id", "pump", "-q"]
    assert main(explain) == 0
    found = pd.read_csv("e.csv")
    assert (found["pump"] == "p" + (found["row"] - 1).astype(str)).all()


def test_labelled_outliers_lean_the_score_and_are_counted(table, capsys):
    table["state"] = np.repeat(["fine", "hot"], [70, 10])
    table.to_csv("train.csv", index=False)
    no_features = ["--id", "pump", "--drop", "trust"]
    label = ["--label", "state", "--outlier", "hot"]
    assert main(["fit", "train.csv", "--out", "model", *no_features, *label, *QUICK]) == 0
    assert "10 rows are labelled so; 10 of them are outside" in capsys.readouterr().out
    same = compactflow.build(max_steps=3, members=1, random_state=0)
    X = table[["heat", "rpm"]]
    same.fit(X, np.repeat([1, -1], [70, 10]))
    np.testing.assert_allclose(
        compactflow.load("model").signed_distance(X), same.signed_distance(X)
    )
