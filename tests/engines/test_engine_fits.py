"""A fit on an engine is the fit of one process."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from stand_ins import MIXED, Absent, OneByOne, Twice, check_fitted_alike, mixed_rows

import compactflow
from compactflow import cli
from compactflow.preprocessing.linear import Standardise


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
    check_fitted_alike(one, other.fit(X, groups=groups, engine=Twice()), X)


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
