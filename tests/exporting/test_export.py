"""A detector as one graph gives its own scores, where there is nothing but a runtime."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import compactflow
from compactflow import cli
from compactflow.backbones.base import Backbone
from compactflow.exporting.onnx import to_onnx
from compactflow.exporting.program import ExportError, trace

ROOT = Path(__file__).parents[2]
TINY = {"max_steps": 2, "random_state": 0, "backbone_options": {"blocks": 1, "width": 4}}


def rows(n=120, seed=0):
    """Rows with a column of counts, one with a heavy tail and a constant one."""
    rng = np.random.default_rng(seed)
    columns = rng.poisson(2, n), rng.standard_cauchy(n), np.full(n, 7.0), rng.normal(size=n)
    return np.column_stack(columns)


def fresh():
    """Inliers, outliers, far rows, and rows that trained."""
    return np.r_[rows(50, seed=1), rows(3, seed=2) * 1e6, rows()[:20]]


@pytest.mark.slow
def test_an_exported_file_does_what_the_detector_does(tmp_path, capsys):
    """One test, as an export takes long, and each worker would make its own."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    detector = compactflow.build(members=1, **TINY).fit(pd.DataFrame(rows(), columns=list("abcd")))
    onnx_file = tmp_path / "pump.onnx"
    detector.export(onnx_file)
    session = runtime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    check_every_row_scores_as_in_the_detector_to_rounding(detector, session)
    check_a_row_scores_the_same_in_any_batch(session)
    check_the_threshold_is_an_input_with_a_default(detector, session)
    check_the_file_describes_itself(detector, session, onnx_file)
    check_scoring_imports_neither_torch_nor_scikit_learn(detector, onnx_file)
    check_the_command_line_scores_by_it(detector, onnx_file, tmp_path, capsys)
    check_it_is_not_followed(onnx_file, tmp_path, capsys)


def check_every_row_scores_as_in_the_detector_to_rounding(detector, session):
    X = fresh()
    score, outlier, p = session.run(["score", "outlier", "p_value"], {"X": X})
    wanted = detector.ensemble_.signed_distance(X)
    # The detector takes one of two neighbours for the other where they are about as near, which
    # shows far away only.
    tolerance = np.where(np.abs(wanted) < 1e3, 1e-12, 1e-6 * np.abs(wanted))
    assert (np.abs(score - wanted) <= tolerance).all()
    np.testing.assert_array_equal(outlier, wanted > 0)
    np.testing.assert_array_equal(
        p, detector.calibration_.p_values(wanted + detector.ensemble_.level)
    )


def check_a_row_scores_the_same_in_any_batch(session):
    X = fresh()
    whole = session.run(["score"], {"X": X})[0]
    single = np.concatenate([session.run(["score"], {"X": X[i : i + 1]})[0] for i in range(9)])
    np.testing.assert_allclose(single, whole[:9], rtol=1e-12)


def check_the_threshold_is_an_input_with_a_default(detector, session):
    X, level = fresh(), detector.ensemble_.level
    default = session.run(["score", "outlier"], {"X": X})
    stricter = session.run(["score", "outlier"], {"X": X, "threshold": np.array(level - 3)})
    np.testing.assert_allclose(stricter[0], default[0] + 3, rtol=1e-9)
    assert stricter[1].sum() > default[1].sum()


def check_the_file_describes_itself(detector, session, onnx_file):
    onnx = pytest.importorskip("onnx")
    told = json.loads(session.get_modelmeta().custom_metadata_map["compactflow"])
    assert told["features"] == list("abcd")
    assert told["threshold"] == detector.ensemble_.level
    assert told["held_out"] == len(detector.calibration_.scores)
    np.testing.assert_array_equal(told["ranges"][1], rows().max(axis=0))
    model = onnx.load(onnx_file)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", told["opset"])]
    assert str(ROOT).encode() not in onnx_file.read_bytes()


def check_scoring_imports_neither_torch_nor_scikit_learn(detector, onnx_file):
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn", "scipy", "pandas", "onnx", "onnxscript"):
            raise ImportError(f"{{name}} is not here")
sys.meta_path.insert(0, Refuse())
import pyarrow as pa
from compactflow.scoring import ArrowScorer
scorer = ArrowScorer({str(onnx_file)!r}, outputs=["score", "p_value"])
batch = pa.record_batch({{"d": [0.1], "c": [7], "b": ["0.5"], "a": [2], "id": ["x"]}})
print(scorer(batch).select(["score", "p_value"]).to_pylist()[0]["score"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = detector.ensemble_.signed_distance(np.array([[2, 0.5, 7, 0.1]]))[0]
    assert float(done.stdout) == pytest.approx(wanted, rel=1e-9)


def check_the_command_line_scores_by_it(detector, onnx_file, tmp_path, capsys):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(fresh(), columns=list("abcd")).assign(id=range(73))
    table.to_parquet(tmp_path / "new.parquet")
    paths = [str(tmp_path / "new.parquet"), "--out", str(tmp_path / "scores.parquet")]
    assert cli.main(["score", str(onnx_file), *paths, "--keep", "id", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["model"] == sha256(onnx_file.read_bytes()).hexdigest()
    got = pd.read_parquet(tmp_path / "scores.parquet")
    assert list(got.id) == list(range(73))
    wanted = detector.ensemble_.signed_distance(fresh())
    np.testing.assert_allclose(got.signed_distance, wanted, rtol=1e-6, atol=1e-12)
    assert summary["outliers"] == got.is_outlier.sum()


def check_it_is_not_followed(onnx_file, tmp_path, capsys):
    pd = pytest.importorskip("pandas")
    pd.DataFrame(fresh(), columns=list("abcd")).to_csv(tmp_path / "new.csv", index=False)
    before = set(tmp_path.iterdir())
    paths = [str(tmp_path / "new.csv"), "--out", str(tmp_path / "scores.csv")]
    assert cli.main(["score", str(onnx_file), *paths, "--follow", "60", "-q"]) == 2
    said = "error: --follow takes a model that 'fit' wrote, and not an exported one\n"
    assert capsys.readouterr().err == said
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_program_of_torch_is_the_same_graph(tmp_path):
    X = rows()
    detector = compactflow.build(members=2, score_by="support", **TINY).fit(X)
    detector.export(tmp_path / "pump.pt2")
    told = {"compactflow.json": ""}
    program = torch.export.load(tmp_path / "pump.pt2", extra_files=told).module()
    level = json.loads(told["compactflow.json"])["threshold"]
    score, _, p = program(torch.from_numpy(fresh()), torch.tensor(level, dtype=torch.float64))
    wanted = detector.ensemble_.signed_distance(fresh())
    np.testing.assert_allclose(score, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(p, detector.p_values(fresh()))


C = 0.1234567891234  # of which float32 keeps seven digits
CONSTANTS = {
    "add": lambda x: torch.add(x, x * x, alpha=C),
    "addcdiv": lambda x: torch.addcdiv(x, x, x.abs() + 1, value=C),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=C),
    "addmm": lambda x: torch.addmm(x, x, torch.eye(2).to(x), alpha=C),
    "baddbmm": lambda x: torch.baddbmm(x[None], x[None], torch.eye(2).to(x)[None], alpha=C)[0],
    "celu": lambda x: functional.celu(x, C),
    "clamp": lambda x: x.clamp(-C, C),
    "elu": lambda x: functional.elu(x, C),
    "fill": lambda x: torch.fill(x, C),
    "full": lambda x: torch.full_like(x, C),
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "hardtanh": lambda x: functional.hardtanh(x, -C, C),
    "leaky_relu": lambda x: functional.leaky_relu(x, C),
    "masked_fill": lambda x: x.masked_fill(x > 0, C),
    "multiply": lambda x: (x * C - C) / C,
    "power": lambda x: C**x,
    "power of integers": lambda x: (1.5 ** x.long()).to(x),
    "rsub": lambda x: torch.rsub(x, C, alpha=C),
    "selu": functional.selu,
    "softplus": lambda x: functional.softplus(x, C),
    "sub": lambda x: torch.sub(x, x * x, alpha=C),
    "where": lambda x: torch.where(x > 0, C, x),
}


class Constants(torch.nn.Module):
    def forward(self, X, threshold):
        return torch.stack([function(X) for function in CONSTANTS.values()])


@pytest.mark.slow
def test_constants_keep_their_precision():
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    X = torch.linspace(-3, 3, 10, dtype=torch.float64).view(5, 2)
    program = torch.export.export(Constants(), (X, torch.zeros((), dtype=torch.float64)))
    model = to_onnx(program, ["all"], 0.0, {})
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(["all"], {"X": X.numpy()})
    wanted = Constants()(X, 0.0).numpy()
    for name, one, other in zip(CONSTANTS, found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13, err_msg=name)


class Branching(Backbone):
    """A backbone whose way depends on the data."""

    def __init__(self, dim):
        super().__init__(dim)
        self.scale = torch.nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * self.scale if x.sum().item() > 1e300 else x / self.scale

    def inverse(self, z, *, start=None):
        return z * self.scale


def test_what_cannot_be_exported_is_named():
    X = rows()
    detector = compactflow.build(Branching, members=1, max_steps=1, random_state=0).fit(X)
    with pytest.raises(ExportError, match="the backbone Branching cannot be exported: "):
        trace(detector.ensemble_, None)


def test_the_suffix_says_what_to_write(tmp_path):
    detector = compactflow.build(members=1, **TINY).fit(rows())
    with pytest.raises(ValueError, match=r"pump\.pb: the name must end in \.onnx or \.pt2"):
        detector.export(tmp_path / "pump.pb")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        detector.export(tmp_path / "nowhere" / "pump.onnx")
    assert not list(tmp_path.iterdir())
