"""Time series from the command line: the model remembers how rows are seen with their past."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import refused

import compactflow
from compactflow import windows
from compactflow.cli import main

FIT = ["fit", "train.csv", "--out", "model", "--window", "6", "--by", "pump", "--time", "when"]
QUICK = ["--max-steps", "20", "--members", "1", "-q"]


def course(seed, rows=200, stuck=False):
    """Two pumps that swing; stuck, one holds a common value for a while."""
    rng = np.random.default_rng(seed)
    parts = []
    for pump in "ab":
        heat = np.sin(np.arange(rows) / 3 + rng.uniform(0, 6)) + 0.1 * rng.normal(size=rows)
        if stuck and pump == "b":
            heat[120:150] = 0.3
        when = pd.date_range("2026-01-01", periods=rows, freq="min").strftime("%d.%m.%Y %H:%M")
        parts.append(pd.DataFrame({"pump": pump, "when": when, "heat": heat, "mode": "on"}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    course(0).sample(frac=1, random_state=0).to_csv("train.csv", index=False)
    return tmp_path


def test_rows_are_scored_with_their_past_in_any_order(folder, capsys):
    assert main([*FIT, "--drop", "mode", *QUICK]) == 0
    new = course(1, stuck=True).sample(frac=1, random_state=1)
    new.to_csv("new.csv", index=False)
    score = ["score", "model", "new.csv", "--out", "s.csv", "--id", "pump", "--id", "when", "-q"]
    assert main(score) == 0
    found = pd.read_csv("s.csv")
    assert found["when"].tolist() == new["when"].tolist()
    place = np.arange(400).reshape(2, 200)
    stuck = np.isin(new.index, place[1, 125:150])
    assert found["is_outlier"][stuck].mean() > 0.9
    assert found["is_outlier"][~np.isin(new.index, place[1, 115:160])].mean() < 0.2
    detector = compactflow.load("model")
    np.testing.assert_allclose(detector.signed_distance(new), found["signed_distance"])
    assert detector.columns_ == {
        "heat": "number, with a window of 6 rows",
        "when": "the order of rows",
        "pump": "whose rows they are",
    }
    same = compactflow.build(
        max_steps=20,
        members=1,
        random_state=0,
        windows={"size": 6, "by": "pump", "time": "when"},
    )
    same.fit(pd.read_csv("train.csv").drop(columns="mode"))
    np.testing.assert_allclose(same.signed_distance(new), found["signed_distance"])


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_rows_are_explained_reported_and_watched_with_their_past(folder, capsys):
    assert main([*FIT, "--drop", "mode", *QUICK]) == 0
    course(1, stuck=True).sample(frac=1, random_state=1).to_csv("new.csv", index=False)
    assert main(["explain", "model", "new.csv", "--out", "e.csv", "-q"]) == 0
    assert pd.read_csv("e.csv")["feature"].str.startswith("heat").all()
    assert main(["report", "model", "new.csv", "--out", "r.html", "-q"]) == 0
    assert main(["watch", "model", "new.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 400


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "pump"], "--by is of time series; give --window too"),
        (["--window", "6", "--by", "engine"], "by='engine' is no column of the table"),
        (["--window", "6", "--time", "mode"], "time='mode' must be numbers or dates"),
        (["--window", "6", "--engine", "ray"], "--window needs all; leave out one"),
    ],
)
def test_what_is_no_time_series_is_refused(folder, options, said, capsys):
    assert main(["fit", "train.csv", "--out", "model", *options, *QUICK]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "model").exists()


def test_a_new_table_without_the_series_is_refused(folder, capsys):
    assert main([*FIT, *QUICK]) == 0
    course(1).drop(columns="pump").to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "s.csv"]) == 2
    assert "pump" in capsys.readouterr().err


@pytest.mark.parametrize("when", ["number", "iso", "timestamp", None])
def test_time_orders_rows_and_scores_go_back(when):
    table = course(0, rows=30).drop(columns=["mode"])
    times = pd.to_datetime(table["when"], format="%d.%m.%Y %H:%M")
    spelled = {"number": times.astype("int64"), "iso": times.astype(str), "timestamp": times}
    table["when"] = spelled.get(when, table["when"])
    seen = windows(table.drop(columns="when"), 4, by="pump")
    mixed = table.sample(frac=1, random_state=0)
    back = windows(mixed, 4, by="pump", time="when")
    np.testing.assert_array_equal(back.to_numpy(), seen.to_numpy()[mixed.index])


def test_held_out_rows_share_no_window_with_those_that_train():
    """With all rows held out one by one, steps of a random walk would have twins in training."""
    rng = np.random.default_rng(0)
    walk = pd.DataFrame({"level": np.cumsum(rng.normal(size=600))})
    detector = compactflow.build(
        max_steps=5, members=1, random_state=0, windows={"size": 20}, boundary=0.8
    ).fit(walk)
    plain = compactflow.build(max_steps=5, members=1, random_state=0, boundary=0.8)
    plain.fit(windows(walk, 20))
    assert detector.ensemble_.level > plain.ensemble_.level + 0.3


def test_watching_windows_keeps_its_bound():
    rng = np.random.default_rng(0)
    small = {"max_steps": 5, "members": 1, "random_state": 0, "validation_fraction": 0.5}
    detector = compactflow.build(**small, windows={"size": 5})
    detector.fit(pd.DataFrame({"noise": rng.normal(size=800)}))
    alarms = 0
    for seed in range(20):
        monitor = detector.monitor(seed=seed)
        monitor.add(pd.DataFrame({"noise": rng.normal(size=300)}))
        assert monitor.martingale.count == 60
        alarms += monitor.drifted(0.2)
    assert alarms <= 8  # of 4 expected at most: more has a probability below .01
    moved = detector.monitor().add(pd.DataFrame({"noise": 1.5 + rng.normal(size=300)}))
    assert moved.drifted(0.01)


DRIFTING = course(2).assign(fault=False)
DRIFTING["heat"] += np.tile(np.linspace(0, 3, 200), 2)
DRIFTING.loc[300:330, ["heat", "fault"]] = 9.0, True
FOLLOW = ["score", "model", "new.csv", "--out", "s.csv", "--follow", "60", "-q"]


@pytest.mark.parametrize("label", [[], ["--label", "fault"]])
def test_a_boundary_follows_rows_in_the_order_of_time(folder, label):
    assert main([*FIT, "--drop", "mode", *QUICK]) == 0
    mixed = DRIFTING.sample(frac=1, random_state=1)
    mixed.to_csv("new.csv", index=False)
    assert main([*FOLLOW, *label]) == 0
    found = pd.read_csv("s.csv").set_index(mixed.index)
    detector = compactflow.load("model")
    following, distance = detector.follow(60), detector.signed_distance(DRIFTING)
    when = pd.to_datetime(mixed["when"], format="%d.%m.%Y %H:%M")
    for row in mixed.index[np.argsort(when, kind="stable")]:
        mark = [label != [] and DRIFTING.fault[row]]
        judged = following.add_distances(distance[[row]], mark)
        np.testing.assert_allclose(found.signed_distance[row], judged[0], atol=1e-9)
    np.testing.assert_allclose(found.decision_function, -found.signed_distance)
    assert (found.is_outlier == (found.signed_distance > 0)).all()


def test_rows_without_a_past_are_followed_in_their_order(folder, capsys):
    rng = np.random.default_rng(0)
    calm = pd.DataFrame(rng.normal(size=(300, 2)), columns=["heat", "load"])
    calm.to_csv("train.csv", index=False)
    assert main(["fit", "train.csv", "--out", "model", *QUICK]) == 0
    moving = calm + np.linspace(0, 4, 300)[:, None]
    moving.to_csv("new.csv", index=False)
    assert main(["score", "model", "new.csv", "--out", "still.csv", "-q"]) == 0
    assert main(FOLLOW) == 0
    still, followed = (pd.read_csv(name).is_outlier.mean() for name in ("still.csv", "s.csv"))
    assert still > 0.35 > 0.25 > followed
    (folder / "s.csv").unlink()
    refused([*FOLLOW, "--follow", "5"], capsys, folder, "--follow 5: rows == 5, must be >= 19")
    refused([*FOLLOW, "--engine", "ray"], capsys, folder, "--follow is not for --engine")
