import warnings

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from compactflow import tables
from compactflow.tables import TableError, read_batches, read_table
from compactflow.text import Note


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
