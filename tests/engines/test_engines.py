"""What an engine runs gives what one process gives: scores in their order, and fits."""

import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import compactflow
from compactflow import cli
from compactflow.engines.base import Engine
from compactflow.engines.drawing import draw
from compactflow.plugins import EngineSpec, registry
from compactflow.preprocessing.linear import Standardise
from compactflow.scoring import ArrowScorer
from compactflow.tables import sample
from compactflow.workers import Workers

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
    """An engine that pickles what it runs, and runs it in a thread of its own."""

    def run(self, function, shared, tasks):
        with ThreadPoolExecutor(1) as pool:
            for task in tasks:
                call, sent, own = pickle.loads(pickle.dumps((function, shared, task)))
                yield pool.submit(call, sent, own).result()


class Absent(Engine):
    """An engine whose library is not installed."""

    def run(self, function, shared, tasks):
        raise ImportError("pip install slurm")


class Failing(OneByOne):
    """An engine that fails half-way."""

    def run(self, function, shared, tasks):
        yield from super().run(function, shared, tasks[:1])
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
        (
            ["new", "--engine", "one-by-one", "--out", "new"],
            "new exists; give the name of a new folder",
        ),
        (["odd.parquet", "--engine", "one-by-one", "--out", "s"], "odd.parquet: the batch has no"),
        (["pump.model", "--engine", "one-by-one", "--out", "s"], "cannot be read as Parquet"),
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


def write(folder, files, **options):
    folder.mkdir(parents=True)
    for name, columns in files.items():
        pq.write_table(pa.table(columns), folder / name, **options)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"b.parquet": {"heat": [1.0]}}, "'rpm' is in {}/a.parquet and not in {}/b.parquet"),
        (
            {"b.parquet": {"heat": [1.0], "rpm": [1.0], "more": [1]}},
            "'more' is in {}/b.parquet and not in {}/a.parquet",
        ),
        (
            {"b.parquet": {"heat": [1.0], "rpm": ["fast"]}},
            "the columns of {}/b.parquet are not those of the files before it",
        ),
        (
            {"b.parquet": {"heat": [1.0, 2.0, 3.0], "rpm": [1.0, 2.0, None]}},
            "{}/b.parquet, after its first 2 rows: column 'rpm', row 1 is empty",
        ),
        ({"a.parquet": {"rpm": [1.0]}}, "{}: the batch has no column 'heat'"),
    ],
)
def test_an_unfit_file_is_named_and_leaves_nothing(
    own_engines, folder, tmp_path, capsys, files, message
):
    new = tmp_path / "in" / "rows"
    write(new, {"a.parquet": {"rpm": [1.0], "heat": [2.0]}} | files, row_group_size=2)
    command = ["score", str(folder / "pump.model"), str(new), "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--engine", "one-by-one"]) == 2
    assert message.replace("{}", str(new)) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_files_are_one_table_whatever_their_order_of_columns_and_types(
    own_engines, folder, tmp_path
):
    new, out = tmp_path / "rows", tmp_path / "out"
    files = {
        "a.parquet": {"rpm": [1.0], "heat": [2.0]},
        "b.parquet": {"heat": [3], "rpm": [4]},
        "c.parquet": {"heat": pa.array([], pa.float64()), "rpm": pa.array([], pa.null())},
        "_notes.parquet": {"other": [1]},
        ".hidden.parquet": {"other": [1]},
    }
    write(new, files)
    schema = pa.schema({"heat": pa.float64(), "rpm": pa.float32()})
    pq.ParquetWriter(new / "d.parquet", schema).close()  # which has no row group
    command = ["score", str(folder / "pump.model"), str(new), "--out", str(out)]
    assert cli.main([*command, "--engine", "one-by-one", "--quiet"]) == 0
    parts = [pq.read_table(path) for path in sorted(out.iterdir())]
    assert [part.select(["rpm", "heat"]).to_pylist() for part in parts] == [
        [{"rpm": 1.0, "heat": 2.0}],
        [{"rpm": 4.0, "heat": 3.0}],
        [],
        [],
    ]
    assert len({part.schema for part in parts}) == 1


MIXED = {"members": 2, "max_steps": 3, "random_state": 3, "backbone_options": {"blocks": 1}}


def mixed_rows():
    """Rows with gaps, which the flows fill in their own ways, and more than a block of them."""
    X = np.random.default_rng(1).normal(size=(300, 3))
    X[::7, 1] = np.nan
    return pa.table(dict(zip("abc", X.T, strict=True)))


def check_fitted_alike(one, other, X):
    np.testing.assert_array_equal(one.signed_distance(X), other.signed_distance(X))
    np.testing.assert_array_equal(one.calibration_.scores, other.calibration_.scores)
    assert one.history_ == other.history_


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"score_by": "quantile", "score_options": {"of": "support"}},
        {"preprocessing": "whiten"},
    ],
)
def test_a_fit_elsewhere_is_the_fit_here_bit_for_bit(monkeypatch, options):
    monkeypatch.setattr("compactflow.detector.held_out._BLOCK", 2048)
    X = np.random.default_rng(0).standard_t(3, size=(25_000, 2))
    one, other = (compactflow.build(**MIXED, **options) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine=OneByOne), X[:99])


def test_a_table_with_gaps_and_groups_fits_elsewhere_as_here():
    X, groups = mixed_rows(), np.arange(300) // 5
    one, other = (compactflow.build(**MIXED | {"members": 4}) for _ in range(2))
    one.fit(X, groups=groups)
    check_fitted_alike(one, other.fit(X, groups=groups, engine=OneByOne()), X)


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


class Drawing(Standardise):
    """A first layer that draws from torch's generator, which only this process has."""

    def fit(self, X, *, member=0):
        super().fit(X[torch.randperm(len(X))[:50].numpy()], member=member)


def test_a_first_layer_of_ones_own_is_fitted_here():
    X = np.random.default_rng(0).normal(size=(300, 2))
    one, other = (compactflow.build(**MIXED, preprocessing=Drawing) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine=OneByOne), X)


def test_fit_takes_an_engine_in_the_shell(own_engines, tmp_path, capsys):
    pq.write_table(mixed_rows(), tmp_path / "rows.parquet")
    (tmp_path / "parts").mkdir()
    pq.write_table(mixed_rows(), tmp_path / "parts" / "0.parquet", row_group_size=77)
    models = [str(tmp_path / name) for name in ("here", "elsewhere")]
    how = ["--max-steps", "2", "--max-rows", "90", "--quiet", "--force", "--engine"]
    parts = ["fit", str(tmp_path / "parts"), "--out", models[1], *how]
    assert cli.main(["fit", str(tmp_path / "rows.parquet"), "--out", models[0], *how[:-1]]) == 0
    assert cli.main([*parts, "one-by-one"]) == 0
    check_fitted_alike(*map(compactflow.load, models), mixed_rows())
    capsys.readouterr()
    assert cli.main([*parts, "absent"]) == 2
    assert capsys.readouterr().err == "error: pip install slurm\n"
    assert cli.main([*parts, "one-by-one", "--drop", "id"]) == 2
    assert "parts, as drawn has no column 'id'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "there is no file or folder"),
        ({}, "rows.parquet holds no Parquet files"),
        ({"a": {"x": [1.0]}, "b": {"y": [1.0]}}, "rows.parquet have different columns"),
        ({"a": b"nonsense"}, "a.parquet cannot be read as Parquet"),
    ],
)
def test_folders_that_cannot_be_fitted_are_named(own_engines, tmp_path, capsys, files, message):
    folder = tmp_path / "rows.parquet"
    if files is not None:
        folder.mkdir()
    for name, content in (files or {}).items():
        path = folder / f"{name}.parquet"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            pq.write_table(pa.table(content), path)
    command = ["fit", str(folder), "--out", str(tmp_path / "model")]
    assert cli.main([*command, "--engine", "one-by-one"]) == 2
    assert message in capsys.readouterr().err


def test_what_is_no_engine_is_refused_before_the_fit():
    X = np.zeros((9, 1))
    with pytest.raises(ValueError, match="there is no engine 'slurm'"):
        compactflow.build().fit(X, engine="slurm")
    with pytest.raises(ValueError, match=r"engine must be a name, .* of Engine, got 3"):
        compactflow.build().fit(X, engine=3)
    with pytest.raises(ImportError, match="pip install slurm"):
        compactflow.build(**MIXED).fit(
            np.random.default_rng(0).normal(size=(99, 2)), engine=Absent
        )


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


@pytest.mark.slow
def test_workers_of_ray_that_are_killed_change_nothing_in_a_fit(ray, tmp_path):
    from compactflow.engines.ray import Ray

    X = mixed_rows()
    one, other = (compactflow.build(**MIXED) for _ in range(2))
    engine = Fragile(Ray(), tmp_path)
    check_fitted_alike(one.fit(X), other.fit(X, engine=engine), X)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]  # layers, held-out rows


def fail(shared, task):
    raise ValueError(f"{shared} and {task}")


@pytest.mark.slow
def test_an_error_in_a_worker_of_ray_is_raised_as_it_was(ray):
    from compactflow.engines.ray import Ray

    with pytest.raises(ValueError, match=r"^this and that$"):
        list(Ray().run(fail, "this", ["that"]))


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


@pytest.mark.slow
def test_spark_fits_as_one_process_does(spark):
    X = mixed_rows()
    one, other = (compactflow.build(**MIXED) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine="spark"), X)
