"""What is logged, and that the package leaves it to others where it goes."""

import json
import logging

import numpy as np
import pytest

import compactflow
from compactflow import cli
from compactflow.scoring import ArrowScorer

TINY = {"max_steps": 4, "members": 1, "random_state": 0, "backbone_options": {"blocks": 1}}


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    rows = np.random.default_rng(0).normal(size=(100, 2))
    np.savetxt(path, rows, delimiter=",", header="heat,rpm", comments="")
    return path


def test_a_fit_that_resumes_logs_where_it_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, "compactflow")
    X = np.random.default_rng(0).normal(size=(100, 2))
    for _ in range(2):
        compactflow.build(**TINY).fit(X, checkpoint=tmp_path)
    first, end, _, resumed, _ = (record.getMessage() for record in caplog.records)
    assert first.startswith("fitting 100 rows of 2 features on ")
    assert "1 flows, " in end
    assert "25 held-out rows are inside" in end
    assert resumed == "training goes on after step 3 of 4"


def test_checks_of_training_are_logged_for_those_who_debug(caplog):
    caplog.set_level(logging.DEBUG, "compactflow")
    compactflow.build(**TINY).fit(np.random.default_rng(0).normal(size=(100, 2)))
    checks = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert [record.getMessage().split(":")[0] for record in checks] == [
        f"step {step}" for step in range(1, 5)
    ]
    assert "loss" in checks[-1].getMessage()


def test_the_package_has_no_handler_of_its_own():
    assert logging.getLogger("compactflow").handlers == []


def test_the_shell_shows_logs_on_request_and_keeps_json_clean(table, tmp_path, capsys):
    model = tmp_path / "pump\n.model"
    command = ["fit", str(table), "--out", str(model), "--max-steps", "1", "--members", "1"]
    assert cli.main([*command, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    scores = ["score", str(model), str(table), "--out", str(tmp_path / "scores.csv"), "--json"]
    assert cli.main(["--verbose", *scores]) == 0
    shown = capsys.readouterr()
    digest = ArrowScorer(model).digest
    assert json.loads(shown.out)["model"] == digest
    assert shown.err.startswith("info: opened ")
    assert shown.err.splitlines()[0].endswith(f"pump .model, SHA-256 {digest}")
    assert logging.getLogger("compactflow").handlers == []
