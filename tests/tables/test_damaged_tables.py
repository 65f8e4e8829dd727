import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from compactflow.tables import TableError, column_types, read_batches, read_table, write


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
