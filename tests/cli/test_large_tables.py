"""Tables with more rows than a fit needs."""

import json

import numpy as np
import pytest

import compactflow
from compactflow import cli


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_fit_draws_rows_of_a_larger_table(tmp_path, capsys, suffix):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"heat": rng.normal(size=5000), "rpm": rng.normal(size=5000)})
    table["bad"] = np.arange(5000) % 10 == 0
    table.loc[table.bad, "heat"] += 100
    train, model = str(tmp_path / f"train.{suffix}"), str(tmp_path / "pump.model")
    table.to_csv(train, index=False) if suffix == "csv" else table.to_parquet(train)
    options = ["--label", "bad", "--max-rows", "400", "--max-steps", "2", "--members", "1"]
    assert cli.main(["fit", train, "--out", model, *options, "--json"]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["rows"] + summary["labelled_outliers"] == 400
    assert 20 < summary["labelled_outliers"] < 60
    assert "400 of 5000 rows are drawn by chance; --max-rows sets how many" in said.err
    assert compactflow.load(model).ranges_.high[0] < 50  # rows and labels went together
