import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from compactflow import tables
from compactflow.tables import (
    TableError,
    column_names,
    column_types,
    count_rows,
    read_batches,
    read_table,
    write,
)


def test_columns_come_in_the_order_asked_for_and_others_may_hold_anything(csv):
    path = csv("id,b,a\nx,1,2\ny,3,4\n")
    (batch,) = read_batches(path, ["a", "b"])
    assert batch.to_pydict() == {"a": [2.0, 4.0], "b": [1.0, 3.0]}


def test_columns_can_be_left_out(csv):
    assert read_table(csv(",a,b\n0,1,x\n"), without=["", "b"]).to_pydict() == {"a": [1.0]}


@pytest.mark.parametrize(
    "cell", ["1.5", " 1.5 ", "+1.5", '"1.5"', "15e-1", "1.50"], ids=lambda cell: repr(cell)
)
def test_spellings_of_a_number(csv, cell):
    assert read_table(csv(f"a,b\n1,{cell}\n")).to_pydict() == {"a": [1.0], "b": [1.5]}


def test_byte_order_mark_and_blank_lines_are_no_data(csv):
    path = csv("\ufeffa,b\r\n1,2\r\n\r\n3,4\r\n\r\n")
    assert read_table(path).to_pydict() == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, 2], pa.int8()),
        pa.array([1, 2], pa.float32()),
        pa.array(["1", "2"]).dictionary_encode(),
        pa.array([1, 2]).cast(pa.decimal128(30, 2)),
    ],
    ids=lambda array: str(array.type),
)
def test_number_types_of_parquet(tmp_path, array):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": array}), path)
    assert read_table(path).to_pydict() == {"a": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("nan", "is 'nan'"),
        ("NA", "is 'NA'"),
        ("inf", "is 'inf'"),
        ("high", "is 'high'"),
        ("1;2", "is '1;2'"),
    ],
)
def test_a_bad_cell_is_named_by_column_and_row(csv, cell, said):
    path = csv(f"a,b\n1,2\n3,4\n5,{cell}\n7,x\n")
    with pytest.raises(TableError, match=f"column 'b', row 3 {said}"):
        read_table(path)


def test_a_blank_line_in_a_table_of_one_column_is_an_empty_cell(csv):
    with pytest.raises(TableError, match="column 'a', row 2 is empty"):
        read_table(csv("a\n1\n\n3\n"))


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
def test_a_bad_value_in_parquet_is_named_by_column_and_row(tmp_path, value):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [0.0] * 10_000 + [value]}), path)
    with pytest.raises(TableError, match="column 'a', row 10001 is"):
        read_table(path)


def test_rows_are_counted_across_blocks(csv, monkeypatch):
    monkeypatch.setattr(tables.formats, "_BLOCK_BYTES", 64)
    path = csv("a,b\n" + "1,2\n" * 100 + "3.5,x\n")
    assert sum(1 for _ in read_batches(path, ["a"])) > 1
    assert read_table(path, without=["b"])["a"].to_pylist() == [1.0] * 100 + [3.5]
    with pytest.raises(TableError, match="column 'b', row 101 is 'x'"):
        read_table(path)


def test_a_type_that_is_no_number_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"when": pa.array([1], pa.timestamp("us"))}), path)
    with pytest.raises(TableError, match=r"column 'when' holds timestamp\[us\]"):
        read_table(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "cannot be read.*[Ee]mpty"),
        (b"a,b\n1,2\n3\n", "Row #3.*Expected 2 columns, got 1"),
        (b"a,b\n1,\xff\n", "column 'b', row 1 is 'ÿ', not a finite number"),
        (b"a,a\n1,2\n", "several columns named 'a'"),
        (b",a\n0,1\n", "column 1 has no name"),
    ],
)
def test_a_bad_file_is_named(csv, text, said):
    path = csv(text)
    with pytest.raises(TableError, match=f"table.csv.*{said}"):
        read_table(path)


def test_a_file_that_is_not_parquet(csv):
    with pytest.raises(TableError, match=r"cannot be read.*[Pp]arquet"):
        read_table(csv("a,b\n1,2\n", "table.parquet"))


def test_a_missing_file_and_an_unknown_suffix(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        column_names(tmp_path / "none.csv")
    with pytest.raises(TableError, match=r"\.csv or \.parquet"):
        column_names(tmp_path / "table.xlsx")
    with pytest.raises(TableError, match=r"\.csv or \.parquet"):
        write(tmp_path / "table", {"a": "float64"}, [])


@pytest.mark.parametrize(("true", "false"), [("True", "False"), ("true", "FALSE")])
def test_booleans_are_alike_in_all_formats(tmp_path, csv, true, false):
    expected = {"a": [1.0, 0.0], "b": [2.0, 3.0]}
    assert read_table(csv(f"a,b\n{true},2\n{false},3\n")).to_pydict() == expected
    for values in ([True, False], [true, false]):
        pq.write_table(pa.table({"a": values, "b": [2, 3]}), tmp_path / "table.parquet")
        assert read_table(tmp_path / "table.parquet").to_pydict() == expected


@pytest.mark.parametrize("cell", ["1_000", "0x10", "١", "1e", "--1", "yes", "1 2"])
def test_what_only_looks_like_a_number_is_refused(csv, cell):
    with pytest.raises(TableError, match="column 'a', row 1 is"):
        read_table(csv(f"a,b\n{cell},2\n"))


def test_columns_are_kept_as_they_are(tmp_path, csv):
    path = csv("id,a,b\n007,1,x\n008,2,y\n")
    (batch,) = read_batches(path, ["a"], keep=["id", "a"])
    assert [column.to_pylist() for column in batch.columns] == [[1, 2], ["007", "008"], ["1", "2"]]
    when = pa.array([1, 2], pa.date32())
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"when": when, "a": [1, 2]}), path)
    (batch,) = read_batches(path, ["a"], keep=["when"])
    assert batch.column("when").equals(when)
    assert column_types(path, ["when"]) == {"when": pa.date32()}
    with pytest.raises(TableError, match="no column 'b'"):
        read_batches(path, ["a"], keep=["b"])


def test_rows_are_counted_or_guessed(tmp_path, csv):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [1.0] * 10_000}), path)
    assert count_rows(path) == 10_000
    assert 9000 < count_rows(csv("a,b\n" + "1.5,2.5\n" * 10_000)) < 11_000
