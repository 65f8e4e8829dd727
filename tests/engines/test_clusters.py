"""Ray and Spark score and fit as one process does, whatever becomes of a worker."""

import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stand_ins import MIXED, ROWS, check, check_fitted_alike, mixed_rows, score

import compactflow
from compactflow.scoring import ArrowScorer
from compactflow.workers import Workers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'compactflow[ray]'")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip(
        "pyspark.sql", reason="needs Spark: pip install 'compactflow[spark]'"
    )
    if shutil.which("java") is None:
        pytest.skip("Spark needs a Java runtime, and there is none")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "512m")
        .getOrCreate()
    )
    yield session
    session.stop()


# Before workers are killed: Ray 2.60 may abort the driver some time after.
def fail(shared, task):
    raise ValueError(f"{shared} and {task}")


def test_an_error_in_a_worker_of_ray_is_raised_as_it_was(ray):
    from compactflow.engines.ray import Ray

    with pytest.raises(ValueError, match=r"^this and that$"):
        list(Ray().run(fail, "this", ["that"]))


@pytest.mark.parametrize("cluster", ["ray", "spark"])
def test_a_cluster_scores_as_one_process_does(cluster, request, folder, tmp_path):
    request.getfixturevalue(cluster)
    assert score(folder, cluster, tmp_path / "scores") == 0
    check(folder, tmp_path / "scores")


@pytest.fixture
def wanted(folder):
    """The scores of one process."""
    return ArrowScorer(folder / "pump.model")(pq.read_table(folder / "new.parquet"))["score"]


class DiesOnce:
    """A scorer whose process ends when it has scored some rows, but the second time not."""

    def __init__(self, scorer, flag):
        self.scorer, self.flag = scorer, flag

    def __call__(self, table):
        scored = self.scorer(table)
        if not os.path.exists(self.flag):
            open(self.flag, "w").close()
            os._exit(1)
        return scored


def test_a_worker_of_ray_that_is_killed_loses_nothing(ray, folder, wanted, tmp_path):
    from compactflow.engines.ray import score as score_dataset

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    scorer = DiesOnce(ArrowScorer(folder / "pump.model"), str(tmp_path / "died"))
    dataset = ray.data.read_parquet(str(folder / "new"), override_num_blocks=4)
    got = pa.concat_tables(ray.get(score_dataset(dataset, scorer).to_arrow_refs()))
    assert (tmp_path / "died").exists()
    assert got["id"].to_pylist() == list(range(ROWS))
    np.testing.assert_allclose(got["score"], wanted, rtol=1e-12, atol=1e-12)


def test_a_frame_of_spark_gets_scores(spark, folder, wanted):
    from compactflow.engines.spark import score as score_frame

    frame = score_frame(spark.read.parquet(str(folder / "new.parquet")), folder / "pump.model")
    got = frame.orderBy("id").collect()
    np.testing.assert_allclose([row.score for row in got], wanted, rtol=1e-12, atol=1e-12)
    assert got[0].asDict().keys() == {"rpm", "id", "heat", "score", "outlier"}


class Fragile(Workers):
    """An engine of which the first worker that has done its task is killed, once for each run."""

    def __init__(self, engine, folder):
        self.engine, self.folder, self.runs = engine, folder, 0

    def run(self, function, shared, tasks):
        self.runs += 1
        flag = str(self.folder / str(self.runs))
        return self.engine.run(call_or_die, (function, flag, shared), tasks)


def call_or_die(shared, task):
    function, flag, own = shared
    done = function(own, task)
    if not os.path.exists(flag):
        open(flag, "w").close()
        os._exit(1)
    return done


def check_fit(engine):
    """Check that a fit on an engine is that of one process."""
    X = mixed_rows()
    one, other = (compactflow.build(**MIXED) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine=engine), X)


def test_workers_of_ray_that_are_killed_change_nothing_in_a_fit(ray, tmp_path):
    from compactflow.engines.ray import Ray

    check_fit(Fragile(Ray(), tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]  # layers, held-out rows


def test_spark_fits_as_one_process_does(spark):
    check_fit("spark")
