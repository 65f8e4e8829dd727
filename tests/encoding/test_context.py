"""Numbers judged given their context."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
import torch

import compactflow
from compactflow import plotting
from compactflow.encoding.encoder import TableEncoder
from compactflow.encoding.plain import of_plain, to_plain


def machines(rows, seed):
    rng = np.random.default_rng(seed)
    machine, load = rng.integers(0, 12, rows), rng.normal(size=rows)
    heat = 10.0 * machine + 2 * load + (1 + machine % 3) * rng.normal(size=rows)
    return pd.DataFrame({"machine": [f"m{i}" for i in machine], "load": load, "heat": heat})


def test_values_in_their_context_have_one_centre_and_spread_for_known_and_new_rows():
    encoder, codes = TableEncoder.fit(machines(600, 0), context=["machine", "load"])
    new = machines(3000, 1)
    again = of_plain(json.loads(json.dumps(to_plain(encoder))))
    assert encoder.columns == ["heat", "machine", "load"]
    assert encoder.titles == ["heat"]
    for z in (encoder.features(codes, own=True)[:, :1], again.transform(new)[:, :1]):
        assert abs(z.mean()) < 0.1
        assert 0.9 < z.std() < 1.15
    z, machine = again.transform(new)[:, 0], new["machine"]
    for name in ("m0", "m2", "m11"):
        assert abs(z[machine == name].mean()) < 0.35
        assert 0.75 < z[machine == name].std() < 1.35
    np.testing.assert_allclose(
        again.restore(again.transform(new), again.codes(again_table(new))[:, 1:])[:, 0],
        new["heat"],
    )


def again_table(frame):
    from compactflow.encoding.frames import as_arrow

    return as_arrow(frame)


def test_what_is_usual_elsewhere_is_an_outlier_here(tmp_path):
    train = machines(600, 0)
    detector = compactflow.build(context=["machine"], max_steps=20, members=2, random_state=0).fit(
        train
    )
    odd = pd.DataFrame({"machine": ["m3", "m3"], "load": [0.0, 0.0], "heat": [30.0, 60.0]})
    assert detector.predict(odd).tolist() == [1, -1]
    assert detector.columns_["machine"].startswith("context: category: 12 values")
    (record,) = detector.explain(odd).records(top=1)
    assert (record["row"], record["feature"], record["value"]) == (1, "heat", 60.0)
    assert 20 < record["counterfactual"] < 40
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.signed_distance(odd), detector.signed_distance(odd))


def turning(rows, seed):
    """Machines of which half join two features the one way, and half the other."""
    rng = np.random.default_rng(seed)
    machine, x = rng.integers(0, 4, rows), rng.normal(size=rows)
    y = np.where(machine < 2, x, -x) + 0.1 * rng.normal(size=rows)
    return pd.DataFrame({"machine": [f"m{i}" for i in machine], "x": x, "y": y})


@pytest.mark.slow
def test_flows_see_how_features_hang_together_in_a_context():
    detector = compactflow.build(context=["machine"], random_state=0).fit(turning(800, 0))
    new = turning(400, 1)
    other = new.assign(
        machine=new["machine"].map({"m0": "m2", "m1": "m3", "m2": "m0", "m3": "m1"})
    )
    off = other[new["x"].abs() > 1]
    assert (detector.predict(new) == 1).mean() > 0.85
    assert (detector.predict(off) == -1).mean() > 0.7
    assert (detector.predict(detector.sample(50, 0)) == 1).all()


@pytest.mark.parametrize("score_by", ["neighbours", "support"])
def test_samples_and_latents_have_the_context_that_is_asked_for(score_by):
    train = machines(300, 0)
    detector = compactflow.build(
        context=["machine"], score_by=score_by, max_steps=5, members=1, random_state=0
    ).fit(train)
    drawn = detector.sample(40, 0, context=pd.DataFrame({"machine": ["m7"]}))
    assert set(drawn["machine"]) == {"m7"}
    assert abs(drawn["heat"].mean() - 70) < 3
    assert (detector.predict(drawn) == 1).all()
    if score_by == "neighbours":  # later rows of a machine that runs warmer now
        warm = train[train["machine"] == "m7"].assign(heat=90.0)
        before = detector.signed_distance(warm)
        assert (copy.deepcopy(detector).partial_fit(warm).signed_distance(warm) < before).all()
    assert set(detector.sample(40, 0)["machine"]) <= set(train["machine"])
    decoded = detector.inverse_transform(detector.transform(train), context=train)
    np.testing.assert_allclose(decoded["heat"], train["heat"], atol=1e-3)
    with pytest.raises(ValueError, match="give context, a table with 'machine'"):
        detector.inverse_transform(detector.transform(train))
    with pytest.raises(ValueError, match="context must have one row or 40, got 300"):
        detector.sample(40, context=train)
    with pytest.raises(ValueError, match="no columns 'machine'"):
        detector.sample(40, context=train[["load"]])


def test_an_unseen_category_and_a_gap_are_judged_as_of_no_group():
    detector = compactflow.build(
        context=["machine", "load"], max_steps=2, members=1, random_state=0
    ).fit(machines(300, 0))
    odd = pd.DataFrame(
        {"machine": ["new", None, "m3", "new"], "load": [0.0, 0.0, None, 0.0], "heat": [55.0] * 4}
    )
    scores = detector.signed_distance(odd)
    assert np.isfinite(scores).all()
    assert scores[0] == scores[3]


SCORES = {
    "neighbours": {},
    "support": {},
    "density": {},
    "quantile": {"score_options": {"of": "support", "q": 0.8}},
    "blend": {"score_options": {"of": ["neighbours", "support"]}},
}


@pytest.mark.parametrize("score_by", SCORES)
def test_the_level_of_a_group_is_in_its_signed_distance(tmp_path, score_by):
    rng = np.random.default_rng(0)

    def rows(count):
        machine = rng.integers(0, 2, count)
        heat = np.where(machine, rng.standard_t(2, count), rng.uniform(-1, 1, count))
        return pd.DataFrame({"machine": np.array(["a", "b"])[machine], "heat": heat})

    small = {"max_steps": 1, "members": 2, "random_state": 0, "score_by": score_by}
    detector = compactflow.build(context=["machine"], **small, **SCORES[score_by])
    # Where there are reference rows they tell, and else the held-out ones alone, which are few.
    detector.fit(rows(1000 if score_by == "neighbours" else 4000))
    new = rows(1500)
    outside = pd.Series(detector.predict(new) == -1).groupby(new["machine"]).mean()
    assert (abs(outside - 0.05) < 0.03).all()
    for _, own in new.groupby("machine"):
        assert abs((detector.p_values(own) <= 0.1).mean() - 0.1) < 0.05
    np.testing.assert_array_equal(detector.predict(new) == -1, detector.signed_distance(new) > 0)
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(new), detector.predict(new))
    contexts = detector.ensemble_.contexts
    before = contexts.own.clone()
    warmer = rows(400).assign(heat=lambda rows: rows["heat"] * 3)
    moved = detector.recalibrate(warmer).ensemble_.contexts
    assert torch.equal(contexts.own, before)
    assert not torch.allclose(moved.own, before, atol=0.1)
    again = detector.recalibrate(warmer).ensemble_.contexts  # whatever was matched before
    torch.testing.assert_close(again.own, moved.own)


def test_whole_numbers_of_a_context_that_repeat_are_groups():
    hour, rows = np.arange(480) % 24, np.zeros(480)
    for column in (hour, hour.astype(float), hour.astype(str), hour > 11):
        encoder, codes = TableEncoder.fit(pd.DataFrame({"at": column, "x": rows}), context=["at"])
        assert encoder.describe()["at"].startswith("context: category"), column[:2]
        assert np.isfinite(encoder.features(codes, own=True)).all()  # of a constant, too
    assert encoder.transform(pd.DataFrame({"at": [True], "x": [0.0]})).shape == (1, 2)
    for column in (hour + 0.5, np.arange(480), np.arange(480) // 12):
        encoder, _ = TableEncoder.fit(pd.DataFrame({"at": column, "x": rows}), context=["at"])
        assert "category" not in encoder.describe()["at"]
    both = TableEncoder.fit(pd.DataFrame({"at": hour, "x": hour}), context=["at"])[0]
    assert "category" not in both.describe()["x"]


def test_a_boundary_in_each_context_is_none_in_the_plane():
    table = machines(60, 0)
    small = {"max_steps": 1, "members": 1, "random_state": 0}
    detector = compactflow.build(context=["machine"], **small).fit(table)
    with pytest.raises(ValueError, match="given their context, so it has a boundary in each"):
        plotting.plot_boundary(detector)
    rows = detector.encoder_.transform(table)  # as a report has them, with the context behind
    assert len(plotting.plot_scores(detector, rows).patches)
