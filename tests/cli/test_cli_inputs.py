import os

import numpy as np
import pytest
from commands import STEPS, contents, refused

import compactflow
from compactflow.cli import main
from compactflow.detector import fitting

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
