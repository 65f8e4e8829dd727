"""Rows with their past beside them."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import compactflow
from compactflow import windows
from compactflow.encoding.windows import Windows


def test_the_past_is_that_of_the_same_machine():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"pump": rng.choice(["a", "b"], 60), "heat": rng.normal(size=60), "mode": "on"}
    )
    seen = windows(frame, 5, by="pump")
    heat = frame.groupby("pump")["heat"]
    assert list(seen["heat"]) == list(frame["heat"])
    for lag in (1, 2, 4):
        np.testing.assert_array_equal(seen[f"heat {lag} before"], heat.shift(lag))
    np.testing.assert_allclose(seen["heat change"], heat.diff())
    rolling = heat.rolling(5)
    mean, spread = rolling.mean().droplevel(0), rolling.std(ddof=0).droplevel(0)
    np.testing.assert_allclose(seen["heat mean of 5"], mean.sort_index())
    np.testing.assert_allclose(seen["heat spread of 5"], spread.sort_index(), atol=1e-12)
    assert seen["mode"].tolist() == ["on"] * 60
    assert "pump" not in seen


def test_durations_as_text_have_a_course_and_order_rows():
    seconds = [0, 90_000, 86_400, 180_000]
    spelled = [f"{s // 86400} days {s % 86400 // 3600:02}:00:00" for s in seconds]
    table = pd.DataFrame({"since": spelled, "took": spelled, "heat": [0.0, 2.0, 1.0, 3.0]})
    seen = windows(table, 2, time="since")
    np.testing.assert_array_equal(seen["heat change"], [np.nan, 1, 1, 1])
    np.testing.assert_array_equal(seen["took change"], [np.nan, 3600, 86400, 90000])


def test_rows_apart_share_no_window_and_blocks_are_stretches_of_one_series():
    rng = np.random.default_rng(0)
    when, pump = rng.permutation(80), rng.permutation(np.repeat(["a", "b"], 40))
    table, course = pa.table({"pump": pump, "when": when}), Windows(size=4, by="pump", time="when")
    place = np.array([(when[pump == p] < t).sum() for p, t in zip(pump, when, strict=True)])
    rows = course.apart(table)
    assert (np.diff(when[rows]) > 0).all()
    assert sorted(place[rows]) == sorted([*range(3, 40, 4)] * 2)  # windows that are full
    blocks = course.blocks(table)
    for block in np.unique(blocks):
        own = blocks == block
        assert len(set(pump[own])) == 1
        # Of 80 rows a 16th: two windows would be too much.
        assert np.ptp(place[own]) + 1 == own.sum() == 5


def test_a_sensor_that_sticks_is_found_by_its_course_only():
    def wave(seed, stuck):
        rng = np.random.default_rng(seed)
        heat = np.sin(np.arange(300) / 3) + 0.1 * rng.normal(size=300)
        if stuck:
            heat[200:240] = 0.3
        return pa.table({"heat": heat})

    small = {"max_steps": 20, "members": 1, "random_state": 0}
    rows = compactflow.build(**small).fit(wave(0, stuck=False))
    courses = compactflow.build(**small).fit(windows(wave(0, stuck=False), 6))
    assert (rows.predict(wave(1, stuck=True))[206:240] == 1).all()
    decided = courses.predict(windows(wave(1, stuck=True), 6))
    assert (decided[206:240] == -1).all()
    assert (decided[:200] == 1).mean() > 0.8
    assert len(decided) == 300


def test_what_has_no_windows_is_refused():
    table = pa.table({"heat": [1.0, 2.0]})
    with pytest.raises(TypeError, match="takes a table"):
        windows(np.zeros((3, 2)), 2)
    with pytest.raises(ValueError, match=r"size .* at least 2, got 1"):
        windows(table, 1)
    with pytest.raises(ValueError, match="by='pump' is no column"):
        windows(table, 2, by="pump")


def test_a_machine_has_its_windows_and_is_the_context_too(tmp_path):
    rng = np.random.default_rng(0)
    pump = np.repeat(["a", "b"], 60)
    table = pd.DataFrame({"pump": pump, "when": np.tile(np.arange(60), 2), "load": 1.0})
    table["load"] = rng.normal(size=120)
    table["heat"] = np.where(pump == "a", 20.0, 40.0) + rng.normal(size=120)
    course = {"size": 3, "by": "pump", "time": "when"}
    small = {"max_steps": 2, "members": 1, "random_state": 0, "backbone_options": {"blocks": 1}}
    detector = compactflow.build(context=["pump", "load"], windows=course, **small).fit(table)
    assert detector.columns_["pump"] == "whose rows they are; context: category: 2 values"
    assert detector.columns_["load"] == "context: number"  # so its course is not judged either
    assert detector.names_ == [
        "heat",
        *(f"heat {what}" for what in ("1 before", "2 before", "change", "mean of 3")),
        "heat spread of 3",
    ]
    moved = table.assign(pump=table["pump"].map({"a": "b", "b": "a"}))
    assert (
        (detector.predict(moved) == -1).mean() > 0.9 > 0.2 > (detector.predict(table) < 0).mean()
    )
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.signed_distance(moved), detector.signed_distance(moved))
    alone = compactflow.build(context="pump", **small).fit(table)  # a single one as it is
    assert alone.columns_["pump"].startswith("context: category")
