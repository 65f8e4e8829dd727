import warnings

import numpy as np
import pandas as pd
import pytest

import compactflow
from compactflow.detector.screening import (
    OutOfRangeWarning,
    Ranges,
    SuspectColumnWarning,
    find_suspects,
    screen,
)

N = 200
TINY = {
    "max_steps": 1,
    "members": 1,
    "boundary": "bare",
    "backbone_options": {"blocks": 1},
    "random_state": 0,
}


def suspects(column, name="a"):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=len(column)), column])
    return dict(find_suspects(X, ["other", name]))


@pytest.mark.parametrize(
    "column",
    [
        np.arange(N),
        np.arange(N)[::-1],
        np.arange(N) * 7 + 1_700_000_000,
        np.cumsum(np.random.default_rng(0).integers(1, 90, N)),
        np.random.default_rng(0).permutation(N),
        np.random.default_rng(0).permutation(3 * N)[:N],
        np.arange(N) * 0.1,
        np.sort(np.random.default_rng(0).integers(0, 10**6, N)),
    ],
    ids=["rising", "falling", "a clock", "gaps", "shuffled", "drawn", "seconds", "with ties"],
)
def test_a_column_that_numbers_the_rows_is_named(column):
    assert "numbers the rows" in suspects(column)["a"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("label", np.arange(N) % 2),
        ("is_outlier", np.zeros(N)),
        ("isFraud", np.arange(N) % 2),
        ("Class", np.arange(N) % 2),
        ("y", np.where(np.arange(N) % 9, 1, -1)),
        ("anomaly_label", np.arange(N) % 2),
        ("target", np.arange(N) % 7),
    ],
)
def test_a_label_is_named(name, column):
    assert "named like a label" in suspects(column, name)[name]


@pytest.mark.parametrize(
    ("code", "scale"), [(-999, 1), (-200, 300), (9999, 500), (0, 0.01), (-1, 0), (99, 10)]
)
def test_a_code_for_missing_values_is_named(code, scale):
    column = np.random.default_rng(0).uniform(100, 101 + scale, N)
    if code == 99:
        column -= 95
    column[[3, 50, 120]] = code
    assert f"repeats {code} " in suspects(column)["a"]


def test_two_codes_are_named_at_once():
    column = np.random.default_rng(0).normal(size=N)
    column[::20], column[1::20], column[2::20] = -999, -998, 999
    assert "repeats -999 and -998 and 999 far" in suspects(column)["a"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("a", np.random.default_rng(0).normal(size=N)),
        ("a", np.random.default_rng(0).standard_cauchy(size=N)),
        ("a", np.random.default_rng(0).poisson(3, N)),
        ("a", np.random.default_rng(0).poisson(0.05, N)),
        ("a", np.random.default_rng(0).integers(0, 10**6, N)),
        ("a", np.random.default_rng(0).lognormal(0, 2, N).round(1)),
        ("a", np.sort(np.random.default_rng(0).normal(size=N))),
        ("a", np.repeat([2019, 2020, 2021, 2022], N // 4)),
        ("a", np.arange(N) % 2),
        ("a", np.ones(N)),
        ("target_temperature", np.arange(N) % 2),
        ("class_A", np.arange(N) % 2),
        ("label", np.random.default_rng(0).normal(size=N)),
        ("a", np.r_[1e6, np.random.default_rng(0).normal(size=N - 1)]),
    ],
)
def test_measurements_are_not(name, column):
    assert suspects(column, name) == {}


def test_few_rows_and_single_columns_say_nothing():
    assert not list(find_suspects(np.arange(9.0).reshape(-1, 1) * [1, 2], ["a", "b"]))
    assert not list(find_suspects(np.arange(90.0)[:, None], ["a"]))


def test_a_fit_warns_once_and_names_the_columns():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compactflow.build(**TINY).fit(frame)
    frame["run\x1b"] = np.arange(60)
    frame["fraud"] = 0
    with pytest.warns(SuspectColumnWarning) as caught:
        compactflow.build(**TINY).fit(frame)
    (warning,) = caught
    assert "'fraud' is named like a label" in str(warning.message)
    assert "'run\\\\x1b' numbers the rows" in str(warning.message)
    assert "\x1b" not in str(warning.message)
    assert "'a'" not in str(warning.message)


def test_rows_out_of_range_in_bulk_are_said_in_python(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    detector = compactflow.build(**TINY).fit(pd.DataFrame(X, columns=["a", "b"]))
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    for each in (detector, loaded):
        np.testing.assert_array_equal(each.ranges_.low, X.min(axis=0))
        new = pd.DataFrame(X + np.array([0, 100]), columns=["a", "b"])
        for method in (each.predict, each.signed_distance, each.transform, each.explain):
            with pytest.warns(OutOfRangeWarning, match=r"'b' \(.*60 of 60 rows outside\)"):
                method(new)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            each.predict(new[["b", "a"]].head(9))  # too few to tell
            each.predict(pd.DataFrame(np.r_[X, X[:20] + 100], columns=["a", "b"]))


def test_a_count_over_batches(recwarn):
    ranges = Ranges.of(np.array([[0.0, 5.0], [1.0, 5.0]]))
    inside = np.array([[0.5, 5 + 1e-12]] * 7)
    watch = ranges.watch(["a", "b"])
    watch.add(inside).add(inside + np.array([3, 0])).warn()
    assert not recwarn
    with pytest.warns(OutOfRangeWarning, match=r"'a' \(0 to 1 in training, 11 of 18 rows"):
        watch.add(inside[:4] - np.array([3, 0])).warn()


def test_nothing_is_said_of_nothing(recwarn):
    screen(np.random.default_rng(0).normal(size=(50, 3)), ["a", "b", "c"])
    assert not recwarn
