import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from compactflow.tables import TableError, column_names, read_batches, read_table, write


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
