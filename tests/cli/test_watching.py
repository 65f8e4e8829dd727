import json

import numpy as np
import pytest

import compactflow
from compactflow import cli


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A model, and two tables: one like its rows, and one that changes at row 300."""
    pd = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(900, 2)), columns=["heat", "rpm"])
    options = {"max_steps": 5, "members": 1, "random_state": 0, "score_by": "support"}
    compactflow.build(**options).fit(table[:500]).save("pump.model")
    table[500:].to_csv("calm.csv", index=False)
    table.loc[799:, "heat"] += 4
    table[500:].to_parquet("moved.parquet")


def test_a_change_is_told_with_its_row(files, capsys):
    found = {}
    for name in ("calm.csv", "moved.parquet"):
        assert cli.main(["watch", "pump.model", name, "--json"]) == 0
        found[name] = json.loads(capsys.readouterr().out)
    assert not found["calm.csv"]["changed"]
    assert found["calm.csv"]["row"] is None
    assert 300 <= found["moved.parquet"]["row"] < 340
    assert found["moved.parquet"]["rows"] == 400


def test_it_is_said_in_words(files, capsys):
    assert cli.main(["watch", "pump.model", "moved.parquet", "-q"]) == 0
    assert "400 rows: a change, by row 3" in capsys.readouterr().out


def test_an_unfit_alpha_is_named(files, capsys):
    assert cli.main(["watch", "pump.model", "calm.csv", "--alpha", "2"]) == 2
    assert "--alpha" in capsys.readouterr().err
