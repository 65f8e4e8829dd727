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


@pytest.mark.usefixtures("spark")
def test_spark_scores_as_one_process_does(folder, tmp_path):
    assert score(folder, "spark", tmp_path / "scores") == 0
    check(folder, tmp_path / "scores")


def test_a_frame_of_spark_gets_scores(spark, folder):
    from compactflow.engines.spark import score as score_frame

    wanted = ArrowScorer(folder / "pump.model")(pq.read_table(folder / "new.parquet"))["score"]
    frame = score_frame(spark.read.parquet(str(folder / "new.parquet")), folder / "pump.model")
    got = frame.orderBy("id").collect()
    np.testing.assert_allclose([row.score for row in got], wanted, rtol=1e-12, atol=1e-12)
    assert got[0].asDict().keys() == {"rpm", "id", "heat", "score", "outlier"}


@pytest.mark.usefixtures("spark")
def test_spark_fits_as_one_process_does():
    X = mixed_rows()
    one, other = (compactflow.build(**MIXED) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine="spark"), X)


def test_ray_scores_and_fits_as_one_process_does_and_loses_nothing(folder, tmp_path):
    pytest.importorskip("ray.data", reason="needs Ray: pip install 'compactflow[ray]'")
    program = str(Path(__file__).with_name("ray_driver.py"))
    for attempt in "123":
        out = tmp_path / attempt
        out.mkdir()
        command = [sys.executable, program, folder, out]
        done = subprocess.run(command, capture_output=True, text=True)
        # Ray 2.60 ends its driver now and then, and says so.
        aborted = done.returncode == -signal.SIGABRT or "discovered a bug in Ray" in done.stderr
        if not (done.returncode and aborted):
            break
    assert done.returncode == 0, done.stderr
