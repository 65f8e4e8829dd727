import warnings

import numpy as np
import pandas as pd
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
from compactflow.text import Note


@pytest.fixture
def csv(tmp_path):
    def make(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_what_is_written_reads_back_exactly(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    values = np.random.default_rng(0).normal(size=(20, 2)) * [1e-30, 1e30]
    batches = [
        pa.RecordBatch.from_pydict({"a": part[:, 0], "b": part[:, 1]})
        for part in np.split(values, [5, 6])
    ]
    write(path, {"a": "float64", "b": "float64"}, batches)
    assert column_names(path) == ["a", "b"]
    np.testing.assert_array_equal(np.asarray(read_table(path)), values)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_rows_keeps_its_columns(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    write(path, {"a": "float64", "b": "bool"}, [])
    assert column_names(path) == ["a", "b"]
    assert read_table(path).num_rows == 0


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


def test_missing_columns_are_all_named(csv):
    path = csv("a,b\n1,2\n")
    with pytest.raises(TableError, match=r"no columns 'c', 'd'; it has \['a', 'b'\]"):
        read_batches(path, ["c", "a", "d"])
    with pytest.raises(TableError, match="no column 'c'"):
        read_table(path, without=["c"])
    with pytest.raises(TableError, match="no column left"):
        read_table(path, without=["a", "b"])
    for name, meant in {"A": "a", "bb": "b", " a ": "a"}.items():
        with pytest.raises(TableError, match=rf"no column '{name}' \(did you mean '{meant}'\?\)"):
            read_batches(path, [name])


def test_a_missing_file_and_an_unknown_suffix(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        column_names(tmp_path / "none.csv")
    with pytest.raises(TableError, match=r"\.csv or \.parquet"):
        column_names(tmp_path / "table.xlsx")
    with pytest.raises(TableError, match=r"\.csv or \.parquet"):
        write(tmp_path / "table", {"a": "float64"}, [])


def test_all_unfit_columns_are_named_at_once_with_what_helps(csv):
    rows = "run-1,1,,3\n" + "2,1,5,3\n" * 3000 + "x,1,,four\n"
    with pytest.raises(TableError) as caught:
        read_table(csv("id,a,b c,d\n" + rows))
    message = str(caught.value)
    assert "table.csv: column 'id', row 1 is 'run-1' (2 such rows)" in message
    assert "column 'b c', row 1 is empty (2 such rows)" in message
    assert "column 'd', row 3002 is 'four'" in message
    assert "'a'" not in message
    assert "--drop id --drop 'b c' --drop d" in message
    with pytest.raises(TableError) as caught:
        list(read_batches(csv("a,b\n1,x\ny,2\n"), ["a", "b"]))
    assert "column 'b', row 1 is 'x'" in str(caught.value)
    assert "column 'a', row 2 is 'y'" in str(caught.value)
    assert "--drop" not in str(caught.value)


def test_a_column_without_a_name_is_named_with_unfit_ones(csv):
    with pytest.raises(TableError) as caught:
        read_table(csv(",a,site\n0,1,x\n1,2,y\n"))
    assert "column 'site', row 1 is 'x'" in str(caught.value)
    assert "--drop site; and column 1 has no name" in str(caught.value)
    assert "--drop ''" in str(caught.value)


def test_unfit_types_are_named_with_unfit_values(tmp_path):
    path = tmp_path / "table.parquet"
    table = {"when": pa.array([1, 2], pa.date32()), "a": [1.0, None], "s": [{"x": 1}] * 2}
    pq.write_table(pa.table(table), path)
    with pytest.raises(TableError) as caught:
        read_table(path)
    for part in ("'when' holds date32", "'a', row 2 is empty", "'s' holds struct", "--drop when"):
        assert part in str(caught.value)


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


@pytest.mark.parametrize("format_", ["parquet", "feather"])
@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3),
        pd.Index([7, 3, 5]),
        pd.Index([7, 3, 5], name="id"),
        pd.MultiIndex.from_tuples([(1, 2), (3, 4), (5, 6)], names=["id", None]),
    ],
    ids=["range", "unnamed", "named", "two"],
)
def test_the_index_of_pandas_is_no_feature(tmp_path, format_, index):
    path = tmp_path / f"table.{format_}"
    table = pa.Table.from_pandas(pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}, index=index))
    {"parquet": pq.write_table, "feather": pyarrow.feather.write_feather}[format_](table, path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_table(path).column_names == ["a", "b"]
    assert [("the index" in str(note.message)) for note in caught] == [True] * (
        not isinstance(index, pd.RangeIndex)
    )
    if "id" in index.names:  # it can still be asked for
        (batch,) = read_batches(path, ["id", "a"])
        assert batch.column(0).to_pylist() == [float(i) for i in index.get_level_values("id")]


@pytest.mark.parametrize(
    "note", [b"{", b"[]", b'{"index_columns": 3}', b'{"index_columns": [[]]}', b"[" * 10**5]
)
def test_a_damaged_note_of_pandas_is_no_note(tmp_path, note):
    table = pa.table({"a": [1.0]}).replace_schema_metadata({"pandas": note})
    pq.write_table(table, tmp_path / "table.parquet")
    assert read_table(tmp_path / "table.parquet").column_names == ["a"]


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


def flipped(content, place, value):
    return content[:place] + bytes([value]) + content[place + 1 :]


@pytest.mark.parametrize("format_", ["arrow", "parquet"])
def test_damaged_files_are_read_or_refused(tmp_path, format_):
    path = tmp_path / f"table.{format_}"
    words = [str(i) for i in range(50)]
    table = pa.table({"a": words, "b": np.arange(50.0), "c": pa.array(words).dictionary_encode()})
    if format_ == "arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        path.write_bytes(flipped(content, rng.integers(len(content)), int(rng.integers(256))))
        try:
            write(
                tmp_path / "copy.csv",
                column_types(path, ["a", "b", "c"]),
                (
                    batch.select([1, 2, 3])
                    for batch in read_batches(path, ["b"], keep=["a", "b", "c"])
                ),
            )
        except TableError as error:
            assert "table." in str(error)  # noqa: PT017
            refused += 1
    assert refused


def test_text_offsets_beyond_the_file_are_refused(tmp_path):
    path = tmp_path / "table.arrow"
    schema = pa.schema([("a", pa.string()), ("b", pa.float64())])
    good = pa.RecordBatch.from_pydict({"a": ["1", "2"], "b": [1.0, 2.0]}, schema=schema)
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_batch(good)
    content = path.read_bytes()
    offsets = np.array([0, 1, 2], np.int32).tobytes()
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, np.array([0, 2**30, 2], np.int32).tobytes()))
    with pytest.raises(TableError, match=r"table\.arrow cannot be read: .*[Oo]ffset"):
        read_table(path)


def test_no_cell_is_a_formula_and_each_can_be_had_back(tmp_path):
    texts = ["=1+1", "+x", "-cmd|' /C calc'!A0", "@SUM(A1)", "\tx", "\rx", "＝1", "'quoted", "''"]
    plain = ["-1.5", "+1e5", "1", "a=b", "", "a\n=b", None]
    for suffix in ("csv", "tsv"):
        path = tmp_path / f"table.{suffix}"
        batch = pa.RecordBatch.from_pydict({"=text": texts + plain, "n": [-1.5] * 16})
        write(path, {"=text": "string", "n": "float64"}, [batch])
        frame = pd.read_csv(
            path, sep="," if suffix == "csv" else "\t", keep_default_na=False, dtype=str
        )
        assert list(frame) == ["'=text", "n"]
        assert frame["'=text"].tolist() == [f"'{text}" for text in texts] + [
            text or "" for text in plain
        ]
        assert set(frame["n"]) == {"-1.5"}
    write(tmp_path / "table.parquet", {"=text": "string", "n": "float64"}, [batch])
    assert pq.read_table(tmp_path / "table.parquet")["=text"].to_pylist() == texts + plain


def test_text_cannot_hold_lists(tmp_path):
    with pytest.raises(TableError, match=r"column 'a' holds list.*write \.parquet"):
        write(tmp_path / "table.csv", {"a": pa.list_(pa.int8())}, [])


def test_memory_does_not_grow_with_the_length_of_parquet(tmp_path):
    path = tmp_path / "table.parquet"
    values = np.random.default_rng(0).normal(size=25_000)
    with pq.ParquetWriter(path, pa.schema([("a", pa.float64()), ("b", pa.float64())])) as writer:
        for _ in range(60):
            writer.write_table(pa.table({"a": values, "b": values}))
    assert path.stat().st_size > 20e6
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in read_batches(path, ["a", "b"])]
    assert max(held) < 8e6


def test_a_column_with_neither_name_nor_values_is_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,,c\n1,x,,2\n3,y, ,4\n")
    with pytest.warns(Note, match="column 3 has neither name nor values, and is left out"):
        table = tables.read_table(path, without=["b"])
    assert table.column_names == ["a", "c"]
    assert tables.read_cells(path).column_names == ["a", "b", "c"]
    path.write_text("a,,c\n1,,2\n3,4,4\n")
    with pytest.raises(TableError, match="column 2 has no name"):
        tables.read_table(path)
