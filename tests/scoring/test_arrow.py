"""Batches in, batches out, with what was in them."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import compactflow
from compactflow.scoring import ArrowScorer


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["heat", "rpm"])
    detector = compactflow.build(max_steps=5, members=1, random_state=0).fit(X)
    path = tmp_path_factory.mktemp("model") / "pump.model"
    detector.save(path)
    return detector, path


def batch(n=7):
    rng = np.random.default_rng(1)
    return pa.record_batch(
        {
            "id": [f"row {i}" for i in range(n)],
            "rpm": rng.normal(size=n),
            "heat": 9 * rng.normal(size=n),
        }
    )


def matrix(of):
    return np.column_stack([of.column("heat").to_numpy(), of.column("rpm").to_numpy()])


def test_columns_are_matched_by_name_and_others_ride_along(fitted):
    detector, path = fitted
    got = ArrowScorer(path, outputs=["score", "decision", "outlier", "p_value"])(batch())
    assert got.schema.names == ["id", "rpm", "heat", "score", "decision", "outlier", "p_value"]
    wanted = detector.signed_distance(matrix(batch()))
    assert got.column("score").to_pylist() == wanted.tolist()
    assert got.column("decision").to_pylist() == (-wanted).tolist()
    assert got.column("outlier").to_pylist() == (wanted > 0).tolist()
    assert got.column("p_value").to_pylist() == detector.p_values(matrix(batch())).tolist()
    assert got.column("id").to_pylist() == batch().column("id").to_pylist()


def test_a_pickled_scorer_needs_no_file_and_takes_tables(fitted, tmp_path):
    path = Path(shutil.copy(fitted[1], tmp_path))
    scorer = ArrowScorer(path, outputs={"score": "s"}, keep=["id"])
    wanted = scorer(batch())  # which opens the model
    path.unlink()
    sent = pickle.loads(pickle.dumps(scorer))
    assert len(pickle.dumps(scorer)) < fitted[1].stat().st_size + 1000
    table = pa.Table.from_batches([batch()])
    got = sent(table)
    assert isinstance(got, pa.Table)
    assert got.to_pylist() == wanted.to_pylist()
    assert got.column_names == ["id", "s"]
    assert sent.digest == ArrowScorer(fitted[1].read_bytes()).digest


def test_an_empty_batch_has_all_columns(fitted):
    got = ArrowScorer(fitted[1], outputs=["outlier", "explanation"])(batch(0))
    assert got.num_rows == 0
    assert got.schema.names == ["id", "rpm", "heat", "outlier", "explanation"]


def test_outliers_are_explained_and_inliers_not(fitted):
    rows = pa.table({"rpm": [0.0, 0.0], "heat": [0.0, 50.0]})
    got = ArrowScorer(fitted[1], outputs=["explanation"])(rows).column("explanation").to_pylist()
    assert got[0] is None
    assert got[1][0]["feature"] == "heat"
    assert got[1][0]["value"] == 50


def test_a_model_folder_serves_too(fitted, tmp_path):
    fitted[0].save(tmp_path / "model", folder=True)
    assert ArrowScorer(tmp_path / "model")(batch()) == ArrowScorer(fitted[1])(batch())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["rpm"]), "the batch has no column 'rpm'"),
        (lambda t: t.append_column("rpm", t["rpm"]), "the batch has several columns 'rpm'"),
        (lambda t: t.append_column("score", t["rpm"]), "column 'score' has the name of an output"),
        (
            lambda t: t.set_column(1, "rpm", pa.array([1.0, None, *[0.0] * 5])),
            "column 'rpm', row 2 is empty, not a finite number",
        ),
        (
            lambda t: t.set_column(1, "rpm", pa.array(["fast"] * 7)),
            r"column 'rpm', row 1 is 'fast' \(7 such rows\)",
        ),
    ],
)
def test_a_batch_that_is_unfit_is_named(fitted, change, message):
    with pytest.raises(ValueError, match=message):
        ArrowScorer(fitted[1])(change(pa.Table.from_batches([batch()])))


def test_unfit_arguments_are_named(fitted, tmp_path):
    with pytest.raises(ValueError, match=r"outputs must be of score, .*, got 'scores'"):
        ArrowScorer(fitted[1], outputs=["scores"])
    with pytest.raises(ValueError, match=r"columns must name the 2 features of .*, got 1"):
        _ = ArrowScorer(fitted[1], columns=["heat"]).columns
    with pytest.raises(FileNotFoundError, match="there is no model file"):
        ArrowScorer(tmp_path / "none.model")
    with pytest.raises(ValueError, match="'the model' is not a compactflow model"):
        ArrowScorer(b"nonsense" * 9)(batch())
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="'the model' is not an exported detector"):
        ArrowScorer(b"\x08nonsense" * 9)(batch())


def test_importing_the_scorer_imports_no_torch():
    code = (
        "import sys, compactflow.scoring; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
