"""Every engine gives the rows in their order, with all columns, and the scores of one process."""

import os
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import compactflow
from compactflow import cli
from compactflow.engines.base import Engine
from compactflow.plugins import EngineSpec, registry
from compactflow.scoring import ArrowScorer

ROWS = 900


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and rows in a folder of two files with several row groups each."""
    pd = pytest.importorskip("pandas")
    folder = tmp_path_factory.mktemp("scale")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["heat", "rpm"])
    compactflow.build(max_steps=5, members=1, random_state=0).fit(X).save(folder / "pump.model")
    new = pa.table(
        {"rpm": rng.normal(size=ROWS), "id": np.arange(ROWS), "heat": 3 * rng.normal(size=ROWS)}
    )
    (folder / "new").mkdir()
    for i, part in enumerate((new.slice(0, 400), new.slice(400))):
        pq.write_table(part, folder / "new" / f"{i}.parquet", row_group_size=150)
    pq.write_table(new, folder / "new.parquet")
    return folder


def score(folder, engine, out):
    paths = [str(folder / "pump.model"), str(folder / "new"), "--out", str(out)]
    return cli.main(["score", *paths, "--engine", engine, "--quiet"])


def check(folder, out):
    """Check that the scores in a folder are those of one process, bit for bit."""
    got, new = pq.read_table(out), pq.read_table(folder / "new.parquet")
    added = ["signed_distance", "decision_function", "is_outlier"]
    assert got.column_names == [*new.column_names, *added]
    assert got.select(new.column_names).equals(new)
    wanted = ArrowScorer(folder / "pump.model")(new)
    np.testing.assert_allclose(got["signed_distance"], wanted["score"], rtol=1e-12, atol=1e-12)
    assert got["is_outlier"].to_pylist() == wanted["outlier"].to_pylist()


class OneByOne(Engine):
    """An engine that scores each file by itself."""

    def score(self, scorer, source, target):
        target.mkdir()
        for path in sorted(source.iterdir()):
            pq.write_table(scorer(pq.read_table(path)), target / path.name)


class Absent(Engine):
    """An engine whose library is not installed."""

    def score(self, scorer, source, target):
        raise ImportError("pip install slurm")


class Failing(Engine):
    """An engine that fails half-way."""

    def score(self, scorer, source, target):
        target.mkdir()
        (target / "0.parquet").write_bytes(b"half")
        raise OSError("the cluster is gone")


@pytest.fixture
def own_engines():
    with registry.isolated():
        engines = {"one-by-one": OneByOne, "failing": Failing, "absent": Absent}
        for name, made in engines.items():
            target = f"{made.__module__}:{made.__name__}"
            compactflow.register(EngineSpec(name=name, target=target))
        yield


def test_an_engine_of_ones_own_serves(own_engines, folder, tmp_path):
    assert score(folder, "one-by-one", tmp_path / "scores") == 0
    check(folder, tmp_path / "scores")


def test_an_engine_that_fails_leaves_nothing(own_engines, folder, tmp_path, capsys):
    assert score(folder, "failing", tmp_path / "scores") == 2
    assert "the cluster is gone" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["new", "--engine", "one-by-one", "--top", "3"], "--top is not for --engine"),
        (["new", "--engine", "one-by-one"], "needs --out FILE"),
        (["new", "--engine", "slurm", "--out", "s"], "there is no engine 'slurm'"),
        (["none", "--engine", "one-by-one", "--out", "s"], "there is no file or folder 'none'"),
        (["new", "--engine", "one-by-one", "--out", "new"], "--out new exists"),
        (["odd.parquet", "--engine", "one-by-one", "--out", "s"], "odd.parquet: the batch has no"),
        (["pump.model", "--engine", "one-by-one", "--out", "s"], "holds no Parquet"),
        (["new", "--engine", "absent", "--out", "s"], "error: pip install slurm"),
    ],
)
def test_what_no_engine_can_do_is_said_before_it_starts(
    own_engines, folder, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(folder)
    pq.write_table(pa.table({"heat": [1.0]}), "odd.parquet")
    assert cli.main(["score", "pump.model", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not os.path.exists("s")


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


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'compactflow[ray]'")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_ray_scores_as_one_process_does(ray, folder, tmp_path):
    assert score(folder, "ray", tmp_path / "scores") == 0
    check(folder, tmp_path / "scores")


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_loses_nothing(ray, folder, tmp_path):
    from compactflow.engines.ray import score as score_dataset

    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    scorer = DiesOnce(ArrowScorer(folder / "pump.model"), str(tmp_path / "died"))
    dataset = ray.data.read_parquet(str(folder / "new"), override_num_blocks=4)
    got = pa.concat_tables(ray.get(score_dataset(dataset, scorer).to_arrow_refs()))
    assert (tmp_path / "died").exists()
    wanted = ArrowScorer(folder / "pump.model")(pq.read_table(folder / "new.parquet"))
    assert got["id"].to_pylist() == list(range(ROWS))
    np.testing.assert_allclose(got["score"], wanted["score"], rtol=1e-12, atol=1e-12)


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


@pytest.mark.slow
def test_spark_scores_as_one_process_does(spark, folder, tmp_path):
    assert score(folder, "spark", tmp_path / "scores") == 0
    check(folder, tmp_path / "scores")


@pytest.mark.slow
def test_a_frame_of_spark_gets_scores(spark, folder):
    from compactflow.engines.spark import score as score_frame

    frame = score_frame(spark.read.parquet(str(folder / "new.parquet")), folder / "pump.model")
    got = frame.orderBy("id").collect()
    wanted = ArrowScorer(folder / "pump.model")(pq.read_table(folder / "new.parquet"))
    np.testing.assert_allclose([row.score for row in got], wanted["score"], rtol=1e-12, atol=1e-12)
    assert got[0].asDict().keys() == {"rpm", "id", "heat", "score", "outlier"}
