import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import compactflow
from compactflow.scoring import ArrowScorer

pytest.importorskip("dask")
pd = pytest.importorskip("pandas")

SMALL = {"max_steps": 2, "backbone_options": {"blocks": 1}, "random_state": 0}


def test_row_groups_are_scored_in_order(tmp_path):
    from compactflow_dask.engine import Dask

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(99, 2)), columns=["heat", "rpm"])
    compactflow.build(**SMALL, members=1).fit(X).save(tmp_path / "model")
    scorer = ArrowScorer(tmp_path / "model")
    new = pa.Table.from_pandas(X.assign(id=range(99)), preserve_index=False)
    (tmp_path / "new").mkdir()
    for i in range(2):
        part = new.slice(60 * i, 60)
        pq.write_table(part, tmp_path / "new" / f"{i}.parquet", row_group_size=25)
    Dask().score(scorer, tmp_path / "new", tmp_path / "scores")
    got = pq.read_table(tmp_path / "scores")
    assert got.drop_columns("score").equals(scorer(new).drop_columns("score"))
    np.testing.assert_allclose(got["score"], scorer(new)["score"], rtol=1e-9, atol=1e-9)


def test_a_fit_is_that_of_one_process_bit_for_bit():
    from compactflow_dask import engine

    X = np.random.default_rng(0).normal(size=(300, 2))
    here, there = (compactflow.build(**SMALL, members=2) for _ in range(2))
    here.fit(X)
    there.fit(X, engine=engine.Dask())
    np.testing.assert_array_equal(here.signed_distance(X), there.signed_distance(X))
    np.testing.assert_array_equal(here.calibration_.scores, there.calibration_.scores)
