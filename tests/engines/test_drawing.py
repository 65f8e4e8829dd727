import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from stand_ins import OneByOne

from compactflow.engines.drawing import draw
from compactflow.tables import sample


def test_workers_draw_the_rows_that_one_pass_draws(tmp_path):
    whole = pa.table({"n": np.arange(5000)})
    for i, (start, end) in enumerate([(0, 700), (700, 700), (700, 5000)]):
        part = whole.slice(start, end - start)
        pq.write_table(part, tmp_path / f"{i}.parquet", row_group_size=300)
    for most in (1, 500, 5000, 9999):
        wanted, _ = sample(whole.to_batches(max_chunksize=999), most, seed=3)
        got, rows = draw(OneByOne(), tmp_path, most, seed=3)
        assert got["n"].to_pylist() == pa.Table.from_batches(wanted)["n"].to_pylist()
        assert rows == 5000


def test_too_few_small_keys_take_a_second_pass(tmp_path, monkeypatch):
    monkeypatch.setattr("compactflow.engines.drawing._MARGIN", -4)
    pq.write_table(pa.table({"n": np.arange(900)}), tmp_path / "0.parquet")
    wanted, _ = sample(pq.read_table(tmp_path / "0.parquet").to_batches(), 400, seed=0)
    got, _ = draw(OneByOne(), tmp_path / "0.parquet", 400, seed=0)
    assert got["n"].to_pylist() == wanted[0].column("n").to_pylist()
