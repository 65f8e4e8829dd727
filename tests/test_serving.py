"""The files in docs/serving do what the page on deployment says."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import compactflow
from compactflow.scoring import ArrowScorer

SERVING = Path(__file__).parents[1] / "docs" / "serving"
TINY = {"max_steps": 2, "members": 1, "random_state": 0, "backbone_options": {"blocks": 1}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["heat", "rpm"])
    path = tmp_path_factory.mktemp("examples") / "pump.model"
    compactflow.build(**TINY).fit(X).save(path)
    return path


@pytest.fixture
def server(model, monkeypatch):
    pytest.importorskip("fastapi", reason="needs FastAPI: pip install fastapi")
    monkeypatch.setenv("MODEL", str(model))
    return runpy.run_path(str(SERVING / "server.py"))


ROWS = [{"rpm": 0.1, "heat": 0.2}, {"rpm": 90.0, "heat": 0.0}]


def test_the_server_scores_json_and_arrow_alike(server, model):
    wanted = ArrowScorer(model, keep=[])(pa.Table.from_pylist(ROWS))
    assert server["score"](ROWS) == wanted.to_pylist()
    assert [row["outlier"] for row in server["score"](ROWS)] == [False, True]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.Table.from_pylist(ROWS).schema) as writer:
        writer.write_table(pa.Table.from_pylist(ROWS))
    answer = server["arrow"](sink.getvalue().to_pybytes())
    assert pa.ipc.open_stream(answer.body).read_all() == wanted
    assert server["model"]() == {
        "digest": ArrowScorer(model).digest,
        "columns": ["heat", "rpm"],
    }


@pytest.mark.parametrize(
    ("path", "rows", "message"),
    [
        ("score", [], "no column 'heat'"),
        ("score", [{"heat": 1.0}], "no column 'rpm'"),
        ("score", [{"heat": float("nan"), "rpm": 1.0}], "'heat', row 1 is nan"),
        ("arrow", b"nonsense", "no Arrow stream"),
    ],
)
def test_the_server_refuses_unfit_rows_by_name(server, path, rows, message):
    from fastapi import HTTPException

    with pytest.raises(HTTPException) as refused:
        server[path](rows)
    assert refused.value.status_code == 422
    assert message in refused.value.detail


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_load_test_measures_all_four_kinds_of_request(server, model, capsys):
    pytest.importorskip("uvicorn", reason="needs uvicorn: pip install uvicorn")
    runpy.run_path(str(SERVING / "load.py"))["main"](str(model), clients=2, requests=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [path, rows] for rows in ("1", "1000") for path in ("/score", "/arrow")
    ]


@pytest.fixture(scope="module")
def logged(model, tmp_path_factory):
    """A model of MLflow, rows and their scores."""
    mlflow = pytest.importorskip("mlflow", reason="needs MLflow: pip install mlflow-skinny")
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(ROWS)
    wanted = ArrowScorer(model, outputs=["score", "outlier", "p_value"], keep=[])(
        pa.Table.from_pandas(X)
    ).to_pandas()
    path = tmp_path_factory.mktemp("mlflow") / "pump"
    mlflow.pyfunc.save_model(
        path,
        python_model=str(SERVING / "mlflow_model.py"),
        artifacts={"model": str(model)},
        signature=mlflow.models.infer_signature(X, wanted),
        pip_requirements=["compactflow"],
    )
    return mlflow.pyfunc, path, X, wanted


@pytest.mark.slow
def test_a_model_of_mlflow_scores_and_has_a_signature(logged):
    pyfunc, path, X, wanted = logged
    loaded = pyfunc.load_model(str(path))
    assert loaded.predict(X).equals(wanted)
    assert loaded.metadata.signature.outputs.input_names() == ["score", "outlier", "p_value"]
    with pytest.raises(Exception, match="rpm"):
        loaded.predict(X.drop(columns="rpm"))


@pytest.mark.slow
def test_a_model_of_mlflow_serves_spark(logged):
    sql = pytest.importorskip("pyspark.sql", reason="needs Spark: pip install pyspark")
    if shutil.which("java") is None:
        pytest.skip("Spark needs a Java runtime, and there is none")
    pyfunc, path, X, wanted = logged
    session = sql.SparkSession.builder.master("local[1]").getOrCreate()
    try:
        types = "score double, outlier boolean, p_value double"
        score = pyfunc.spark_udf(session, str(path), result_type=types, env_manager="local")
        frame = session.createDataFrame(X)
        rows = frame.withColumn("scored", score(*map(frame.__getitem__, X.columns))).collect()
    finally:
        session.stop()
    assert [row.scored.score for row in rows] == wanted["score"].tolist()


@pytest.mark.slow
def test_a_pipeline_of_scikit_learn_becomes_one_graph(tmp_path):
    pytest.importorskip("skl2onnx", reason="needs skl2onnx: pip install skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = compactflow.build(**TINY, score_by="support")  # of a small graph
    pipeline = make_pipeline(PCA(2), detector).fit(X)
    path = str(tmp_path / "pipeline.onnx")
    runpy.run_path(str(SERVING / "pipeline.py"))["export"](pipeline, path, X)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    score, outlier = session.run(["score", "outlier"], {"X": 3 * X})
    np.testing.assert_allclose(-score, pipeline.decision_function(3 * X), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(outlier, pipeline.predict(3 * X) == -1)
    assert json.loads(session.get_modelmeta().custom_metadata_map["compactflow"])["dim"] == 2
