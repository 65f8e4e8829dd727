"""Scores of an engine are those of one process, in their order."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stand_ins import check, score

from compactflow import cli


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
