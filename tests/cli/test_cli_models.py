import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import STEPS, refused

import compactflow
from compactflow.cli import main
from compactflow.detector import fitting
from compactflow.training.trainer import TrainingDivergedWarning


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


def test_a_training_warning_is_one_line_and_the_model_is_kept(folder, capsys, monkeypatch):
    def train(*args, **kwargs):
        warnings.warn("training stopped\nat step 3", TrainingDivergedWarning, stacklevel=2)
        return original(*args, **kwargs)

    original = fitting.train
    monkeypatch.setattr(fitting, "train", train)
    assert main(["fit", "train.csv", "--out", "model", *STEPS]) == 0
    assert capsys.readouterr().err == "warning: training stopped at step 3\n"
    assert (folder / "model").is_file()
