"""What the columns of a table are taken for, and that cells come back."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import compactflow
from compactflow.encoding.encoder import TableEncoder
from compactflow.encoding.parts import UnfitCellError
from compactflow.encoding.plain import of_plain, to_plain

N = 200


def text(values):
    return pa.array([None if value is None else str(value) for value in values])


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    minutes = rng.integers(0, 1440, N)
    frame = pd.DataFrame(
        {
            "id": [f"run-{i}" for i in range(N)],
            "amount": rng.lognormal(size=N),
            "count": rng.poisson(3, N),
            "vip": rng.random(N) < 0.3,
            "shop": rng.choice(["Oslo", "Rome", *"abcdefghij"], N, p=[0.4, 0.4, *[0.02] * 10]),
            "born": pd.Timestamp("1960-01-01") + pd.to_timedelta(rng.integers(0, 9000, N), "D"),
            "when": pd.date_range("2024-01-01", periods=N, freq="7h"),
            "at": [f"{m // 60:02}:{m % 60:02}" for m in minutes],
            "size": [
                "ERR" if r < 0.1 else "low" if r < 0.2 else f"{r:.3f}" for r in rng.random(N)
            ],
            "took": pd.to_timedelta(rng.integers(0, 200_000, N), "s"),
            "register": [f"{n:#x}" for n in rng.integers(0, 1 << 20, N)],
        }
    )
    frame.loc[::7, "amount"] = np.nan
    frame.loc[3, "shop"] = None
    return frame


def test_columns_are_taken_for_what_they_hold(frame):
    encoder, _ = TableEncoder.fit(frame)
    said = encoder.describe()
    begins = {
        "amount": "number",
        "count": "integer",
        "vip": "boolean",
        "shop": "category: 12 values",
        "born": "date: cycle of the week, cycle of the year, trend",
        "when": "date: cycle of the day, cycle of the week",  # in order, so without a trend
        "at": "time of day",
        "size": "number; words among numbers: 3 values",
        "took": "duration",
        "register": "hexadecimal",
        "id": "left out: has another text in nearly every row",
    }
    assert said.keys() == begins.keys()
    for name, begin in begins.items():
        assert said[name].startswith(begin), (name, said[name])
    assert "trend" not in said["when"]


def test_text_is_taken_as_a_typed_table_is(frame):
    columns = [text(frame[name].astype(object).where(frame[name].notna(), None)) for name in frame]
    encoder, codes = TableEncoder.fit(pa.table(columns, names=list(frame)))
    typed, typed_codes = TableEncoder.fit(frame)
    assert encoder.describe() == typed.describe()
    np.testing.assert_array_equal(codes, typed_codes)
    np.testing.assert_array_equal(encoder.transform(frame), typed.transform(frame))


def test_cells_come_back_from_the_features_of_a_reloaded_encoder(frame):
    encoder, codes = TableEncoder.fit(frame)
    again = of_plain(json.loads(json.dumps(to_plain(encoder))))
    features = again.transform(frame)
    np.testing.assert_array_equal(features, encoder.features(codes))
    back = again.inverse_transform(features)
    assert (back["took"] == frame["took"]).all()
    for name in ("amount", "count", "vip"):
        np.testing.assert_allclose(back[name].astype(float), frame[name].astype(float))
    common = frame["shop"].isin(["Oslo", "Rome"])
    assert (back["shop"][common] == frame["shop"][common]).all()
    assert back["shop"].isna().tolist() == frame["shop"].isna().tolist()
    assert (pd.to_datetime(back["born"]) == frame["born"]).all()
    assert (back["when"] == frame["when"]).all()
    assert back["at"].astype(str).str[:5].tolist() == frame["at"].tolist()
    numbers = pd.to_numeric(frame["size"], errors="coerce")
    np.testing.assert_allclose(pd.to_numeric(back["size"], errors="coerce"), numbers)
    assert (back["size"][numbers.isna()] == frame["size"][numbers.isna()]).all()


def test_rare_and_unseen_values_differ_and_a_row_does_not_tell_its_own():
    values = ["a"] * 20 + ["b"] * 20 + ["c", "c", "d"]
    encoder, codes = TableEncoder.fit(pa.table({"x": values}))
    new = encoder.transform(pa.table({"x": ["a", "c", "d", "zzz"]}))
    rarity = new[:, -1]
    assert rarity[0] == 0 < rarity[1] < rarity[2] < rarity[3]
    own = encoder.features(codes, own=True)
    np.testing.assert_array_equal(own[-1], new[-1])  # the only "d" is a value never seen before


def test_a_new_value_is_as_rare_as_that_of_some_row_of_training():
    values = ["a"] * 40 + ["b"] * 4 + ["c"] * 2
    encoder, codes = TableEncoder.fit(pa.table({"x": values}))
    new = encoder.transform(pa.table({"x": ["b", "c"]}))[:, -1]
    own = encoder.features(codes, own=True)[40:, -1]
    assert [np.isclose(own[:4], new[0]).sum(), np.isclose(own[4:], new[1]).sum()] == [2, 1]


def test_gaps_count_only_where_they_depend_on_something():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 400))
    by_chance, by_value = x.copy(), y.copy()
    by_chance[rng.random(400) < 0.3] = np.nan
    by_value[x > 1] = np.nan
    encoder, _ = TableEncoder.fit(pd.DataFrame({"x": x, "chance": by_chance, "value": by_value}))
    assert [encoder.titles[p] for p in encoder.masks] == ["value"]
    assert encoder.describe()["value"] == "number, gaps count"


def test_columns_come_in_any_order_and_categories_on_request(frame):
    encoder, _ = TableEncoder.fit(frame, categorical=["count", "id"])
    assert encoder.describe()["count"].startswith("category")
    assert encoder.describe()["id"] == "category: 200 values, 200 of them rare"
    shuffled = frame[frame.columns[::-1]]
    np.testing.assert_array_equal(encoder.transform(shuffled), encoder.transform(frame))


@pytest.mark.parametrize("library", ["pyarrow", "pandas"])
def test_tables_come_back_as_they_came(frame, library):
    table = frame if library == "pandas" else pa.Table.from_pandas(frame)
    encoder, codes = TableEncoder.fit(table)
    assert type(encoder.inverse_transform(encoder.features(codes))) is type(table)


@pytest.mark.parametrize(
    ("column", "new", "said"),
    [
        (list(range(20)), "high", "column 'x', row 2 is 'high', not a number"),
        (["2024-01-01", "2024-02-01"] * 10, "2024-02-30", "row 2 is '2024-02-30', not a date"),
        (["01:00", "02:00"] * 10, "25:00", "row 2 is '25:00', not a time"),
    ],
)
def test_a_cell_of_another_kind_is_named(column, new, said):
    encoder, _ = TableEncoder.fit(pa.table({"x": text(column)}))
    with pytest.raises(UnfitCellError, match=said):
        encoder.transform(pa.table({"x": text([column[0], new])}))


@pytest.mark.parametrize("cell", ["1,5", "12 kg", "1;2"])
def test_a_misspelled_number_is_no_word(cell):
    with pytest.raises(
        ValueError, match=f"column 'x', row 21 is '{cell}' among numbers.*--drop x"
    ):
        TableEncoder.fit(pa.table({"x": text([*range(20), cell])}))


def test_decimal_commas_that_were_read_as_text_are_no_categories():
    with pytest.raises(ValueError, match="row 1 is '0,5'; if the comma is the decimal mark"):
        TableEncoder.fit(pa.table({"x": text([f"{i},5" for i in range(20)])}))


@pytest.mark.parametrize(
    "form", ["${}.99", "{}%", "({})", "1,{:03d}.50", "\u2212{}", "{} €", "{}.5 kg", "1.{:03d},50"]
)
def test_numbers_with_signs_around_them_are_not_left_out_in_silence(form):
    cells = text([form.format(i) for i in range(20)])
    with pytest.raises(ValueError, match=r"column 'x', row 1 is .* write plain numbers.*--drop x"):
        TableEncoder.fit(pa.table({"x": cells}))
    assert len(TableEncoder.fit(pa.table({"x": cells}), categorical=["x"])[0].parts) == 1
    with pytest.raises(ValueError, match="write plain numbers"):  # beside plain ones
        TableEncoder.fit(pa.table({"x": text([form.format(i) for i in range(20)] + [*range(20)])}))
    with pytest.raises(ValueError, match="write plain numbers"):  # though they repeat
        TableEncoder.fit(pa.table({"x": text([form.format(i) for i in range(20)] * 3)}))
    rates = pa.table({"x": text([form.format(i % 3) for i in range(60)]), "y": range(60)})
    assert TableEncoder.fit(rates)[0].describe()["x"] == "category: 3 values"
    phones = pa.table({"x": text([f"555-01-{i}" for i in range(20)]), "y": range(20)})
    assert "left out" in TableEncoder.fit(phones)[0].describe()["x"]


@pytest.mark.parametrize(
    ("form", "taken"),
    [
        ("%d-%b-%Y", "date"),
        ("%m/%d/%y", "date"),
        ("%B %d, %Y", "date"),
        ("%d %B %Y %I:%M %p", "date"),
        ("%Y-%m-%d %H:%M:%S.%f UTC", "date"),
        ("%Y-%m-%dT%H:%M:%S.%f000Z", "date"),
        ("%Y/%m/%d %H:%M:%S.%f", "date"),
        ("%I:%M %p", "time of day"),
    ],
)
def test_dates_and_times_with_words_are_dates_and_times(form, taken):
    moments = pd.Timestamp("2024-01-31 11:30") + pd.to_timedelta(np.arange(60) * 31, "h")
    table = pa.table({"when": text(moments.strftime(form))})
    encoder, codes = TableEncoder.fit(table)
    assert encoder.describe()["when"].startswith(taken)
    assert np.isfinite(encoder.features(codes)).all()
    if taken == "date":
        assert encoder.cells(codes)[0][0].as_py().year == 2024
    if taken == "time of day":
        assert codes[:2, 0].tolist() == [11.5 * 3600, 18.5 * 3600]


def test_numbers_that_no_integer_holds_are_numbers_and_rows_are_counted_as_given():
    table = pd.DataFrame({"x": range(60), "id": [10**25] * 60})  # a constant beside which 1 is 0
    small = {"max_steps": 1, "members": 1, "random_state": 0}
    detector = compactflow.build(**small).fit(table)
    assert np.isfinite(detector.signed_distance(table)).all()
    assert detector.sample(3, random_state=0)["id"].astype(float).tolist() == [1e25] * 3
    table = pd.DataFrame({"x": [*range(59), np.inf], "shop": ["a", "b"] * 30})
    with pytest.raises(ValueError, match="column 'x', row 60 is inf"):
        compactflow.build(**small).fit(table, [-1] * 9 + [1] * 51)


@pytest.mark.parametrize("cell", [None, np.inf, "12 kg"])
def test_a_cell_that_is_no_number_is_named_where_training_had_only_numbers(cell):
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    detector = compactflow.build(max_steps=1, members=1, random_state=0).fit(table)
    with pytest.raises(ValueError, match="X: column 'b', row 3 is inf"):
        compactflow.build(max_steps=1).fit(table.replace({"b": {table["b"][2]: np.inf}}))
    table["b"] = table["b"].astype(object)
    table.loc[6, "b"] = cell
    with pytest.raises(ValueError, match=r"X: column 'b', row 7 is .*not a finite number"):
        detector.predict(table)


def test_rows_that_are_all_one_are_inliers():
    detector = compactflow.build(max_steps=1, members=2, random_state=0).fit(np.full((60, 2), 7.3))
    assert (detector.predict(np.full((9, 2), 7.3)) == 1).all()
    assert (detector.predict(np.full((9, 2), 7.9)) == -1).all()


def test_many_words_with_digits_among_numbers_are_codes_and_no_misspelled_numbers():
    tickets = [str(3000 + i) for i in range(70)] + [f"PC {i}" for i in range(30)]
    table = pa.table({"ticket": tickets, "fare": np.arange(100.0)})
    encoder, _ = TableEncoder.fit(table)
    assert encoder.describe()["ticket"].startswith("left out: has another text in nearly every")


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["1 days 02:03:04", "-1 days +23:00:00.5"], [93784, -3599.5]),  # as pandas writes them
        (["1 day, 2:03:04", "0:00:07"], [93784, 7]),  # as Python does
        (["P1DT2H3M4S", "PT0.5S", "-PT5M", "P2W"], [93784, 0.5, -300, 1209600]),  # as polars does
        (["26:03:04", "02:03", "-0:01"], [93784, 7380, -60]),
    ],
)
def test_durations_are_spelled_in_several_ways(cells, seconds):
    table = pa.table({"took": [*cells, None] * 20, "size": np.arange(20 * (1 + len(cells))) % 7})
    encoder, codes = TableEncoder.fit(table)
    assert encoder.describe()["took"] == "duration"
    np.testing.assert_array_equal(codes[: len(cells), 0], seconds)
    back = encoder.cells(codes)[0].to_pylist()
    assert back[0].total_seconds() == seconds[0]
    assert back[len(cells)] is None
    with pytest.raises(UnfitCellError, match="row 2 is 'soon', not a duration"):
        encoder.transform(pa.table({"took": [cells[0], "soon"], "size": [1, 2]}))


@pytest.mark.parametrize(
    ("cells", "taken"),
    [
        (["02:03:04", "23:59:59"], "time of day"),  # no duration for certain
        (["P1Y", "P1DT"], "category"),  # a year has no number of seconds
        (["0x1f", "1f"], "category"),
        (["0x1f", "0x" + 14 * "f"], "category"),  # an address is no amount
    ],
)
def test_what_only_looks_like_a_duration_or_hexadecimal_is_none(cells, taken):
    table = pa.table({"cell": cells * 20, "size": np.arange(40) % 7})
    assert TableEncoder.fit(table)[0].describe()["cell"].startswith(taken)


def test_hexadecimal_numbers_come_back_so():
    table = pa.table({"register": ["0x1f", None, "0XFF"] * 20, "size": np.arange(60) % 7})
    encoder, codes = TableEncoder.fit(table)
    np.testing.assert_array_equal(codes[:3, 0], [31, np.nan, 255])
    assert encoder.cells(codes[:3])[0].to_pylist() == ["0x1f", None, "0xff"]
    with pytest.raises(UnfitCellError, match="row 1 is '31', not a hexadecimal number"):
        encoder.transform(pa.table({"register": ["31"], "size": [1]}))
