"""Detectors on tables with categories, dates and gaps."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.stats import beta

import compactflow
from compactflow.flows.gaps import fill

SMALL = {"max_steps": 20, "members": 2, "random_state": 0}


def make(n, seed):
    rng = np.random.default_rng(seed)
    shop = rng.choice(["Oslo", "Rome", "Bonn"], n)
    load = rng.normal(size=n)
    heat = 3 * load + 0.1 * rng.normal(size=n)
    heat[rng.random(n) < 0.2] = np.nan
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365 * 3, n), "D")
    return pd.DataFrame({"shop": shop, "day": day, "load": load, "heat": heat})


@pytest.fixture(scope="module")
def detector():
    return compactflow.build(**SMALL).fit(make(500, 0))


@pytest.fixture(scope="module")
def odd():
    rows = make(3, 1)
    rows["shop"] = ["Paris", "Oslo", "Rome"]
    rows["load"] = [0.0, 0.0, 40.0]
    rows["heat"] = [0.0, 30.0, np.nan]
    return rows


def test_outliers_are_found_and_explained_in_the_words_of_the_table(detector, odd, tmp_path):
    assert detector.predict(odd).tolist() == [-1, -1, -1]
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.signed_distance(odd), detector.signed_distance(odd))
    assert loaded.columns_ == detector.columns_
    assert detector.columns_["shop"] == "category: 3 values"
    explanation = loaded.explain(odd)
    first = {record["row"]: record for record in reversed(list(explanation.records()))}
    assert [first[row]["feature"] for row in range(3)] == ["shop", "heat", "load"]
    assert first[0]["value"] == "Paris"
    assert first[0]["counterfactual"] in ("Oslo", "Rome", "Bonn")
    assert first[0]["difference"] is None
    assert first[1]["difference"] < -10
    # Of no value that is common the rarity is other than 0, but for rounding: its unit is 1 then.
    assert 1 < first[0]["deviation"] < 100


def test_an_imputed_value_is_never_blamed_and_stays_a_gap(detector, odd):
    explanation = detector.explain(odd)
    gap = explanation.features.index("heat")
    assert explanation.difference[2, gap] == explanation.deviation[2, gap] == 0
    assert np.isnan(explanation.counterfactual[2, gap])


def test_counterfactuals_are_inliers_that_the_table_could_hold(detector, odd):
    explanation = detector.explain(odd)
    cells = detector.encoder_.cells(explanation.counterfactual)
    names = [part.name for part in detector.encoder_.parts]
    assert (detector.signed_distance(pa.table(cells, names)) <= 1e-6).all()


def test_samples_come_as_a_table_of_the_same_kind(detector):
    drawn = detector.sample(50, random_state=0)
    assert list(drawn) == ["shop", "day", "load", "heat"]
    assert set(drawn["shop"]) <= {"Oslo", "Rome", "Bonn"}
    back = detector.inverse_transform(detector.transform(make(5, 3).fillna({"heat": 0.0})))
    assert (back["shop"] == make(5, 3)["shop"]).all()


def test_p_values_stay_valid_with_gaps(detector):
    p = detector.p_values(make(2000, 5))
    held_out = len(detector.calibration_.scores)
    for level in (0.05, 0.2):
        below = int(level * (held_out + 1))  # the share is of a beta law over draws of these rows
        assert (p <= level).mean() <= beta(below, held_out + 1 - below).ppf(0.99)


def test_rows_with_rare_values_are_outside_as_often_as_promised():
    rng, shares = np.random.default_rng(0), 1 / np.arange(1, 31)
    codes = rng.choice([f"c{k}" for k in range(30)], 2500, p=shares / shares.sum())
    table = pd.DataFrame({"code": codes, "x": rng.normal(size=2500)})
    detector = compactflow.build(**SMALL).fit(table[:500])
    assert (detector.predict(table[500:]) == -1).mean() < 0.1


def test_a_table_of_numbers_scores_as_its_array():
    X = np.random.default_rng(0).normal(size=(60, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    plain, named = (compactflow.build(**SMALL).fit(rows) for rows in (X, frame))
    np.testing.assert_array_equal(plain.signed_distance(X), named.signed_distance(frame))
    assert named.encoder_ is None
    assert named.columns_ == {"a": "number", "b": "number", "c": "number"}


def test_an_array_cannot_stand_for_a_table(detector):
    with pytest.raises(ValueError, match="must be a table with the columns 'shop'"):
        detector.predict(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="categorical and context name columns"):
        compactflow.build(categorical=["a"]).fit(np.zeros((20, 2)))


def test_gaps_are_filled_from_the_nearest_row_that_has_the_value():
    import torch

    nan = float("nan")
    donors = torch.tensor([[0.0, 1.0], [5.0, 2.0], [5.1, nan]], dtype=torch.float64)
    x = torch.tensor([[5.1, nan], [nan, 1.1], [1.0, 1.0]], dtype=torch.float64)
    assert fill(x, donors).tolist() == [[5.1, 2.0], [0.0, 1.1], [1.0, 1.0]]
    assert fill(x, donors, rank=1).tolist() == [[5.1, 1.0], [5.0, 1.1], [1.0, 1.0]]
    assert fill(donors, donors)[2, 1] == 2  # no row is its own donor


def test_what_takes_numbers_only_says_so(detector, tmp_path):
    with pytest.raises(ValueError, match=r"a graph takes numbers.*'shop' category"):
        detector.export(tmp_path / "model.pt2")
