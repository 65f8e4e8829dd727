"""Ray and Spark score and fit as one process does, whatever becomes of a worker."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from stand_ins import MIXED, check, check_fitted_alike, mixed_rows, score

import compactflow
from compactflow.scoring import ArrowScorer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'compactflow[ray]'")
    pytest.importorskip("ray.data")
    # One worker, as each imports torch.
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
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


def test_a_frame_of_spark_gets_scores(spark, folder):
    from compactflow.engines.spark import score as score_frame

    wanted = ArrowScorer(folder / "pump.model")(pq.read_table(folder / "new.parquet"))["score"]
    frame = score_frame(spark.read.parquet(str(folder / "new.parquet")), folder / "pump.model")
    got = frame.orderBy("id").collect()
    np.testing.assert_allclose([row.score for row in got], wanted, rtol=1e-12, atol=1e-12)
    assert got[0].asDict().keys() == {"rpm", "id", "heat", "score", "outlier"}


@pytest.mark.parametrize("cluster", ["ray", "spark"])
def test_a_cluster_fits_as_one_process_does(cluster, request):
    request.getfixturevalue(cluster)
    X = mixed_rows()
    one, other = (compactflow.build(**MIXED) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine=cluster), X)


def test_workers_of_ray_that_are_killed_lose_nothing(tmp_path):
    pytest.importorskip("ray.data", reason="needs Ray: pip install 'compactflow[ray]'")
    program = str(Path(__file__).with_name("killed_workers.py"))
    for attempt in "12":
        folder = tmp_path / attempt
        folder.mkdir()
        done = subprocess.run([sys.executable, program, folder], capture_output=True, text=True)
        if done.returncode != -signal.SIGABRT:  # by which Ray 2.60 may end after what was killed
            break
    assert done.returncode == 0, done.stderr
