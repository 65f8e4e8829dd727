"""Components that print or end the process cannot harm what a command promises."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from compactflow.cli import main
from compactflow.plugins import LatentSpec, registry

STEPS = ["--max-steps", "1", "--members", "1"]

SOURCE = """
import os, subprocess, sys
from compactflow.latents.cube import Cube

{on_import}

class Part(Cube):
    def __init__(self, dim):
        super().__init__(dim)
        {on_init}

    def signed_distance(self, z):
        {on_score}
        return super().signed_distance(z)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Registers a latent whose code does something at a given time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    X = np.random.default_rng(0).normal(size=(30, 2))
    pd.DataFrame(X, columns=["a", "b"]).to_csv("train.csv", index=False)

    def install(**actions):
        none = dict.fromkeys(("on_import", "on_init", "on_score"), "pass")
        (tmp_path / "odd_latent.py").write_text(SOURCE.format(**none | actions))
        registry.register(LatentSpec(name="odd", target="odd_latent:Part"))

    with registry.isolated():
        yield install
    sys.modules.pop("odd_latent", None)


TIMES = ["on_import", "on_init", "on_score"]
FIT = ["fit", "train.csv", "--out", "model", "--latent", "odd", *STEPS]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("code", ["0", "", "1", "'no'"])
def test_a_component_that_ends_the_process_is_an_error(install, capsys, tmp_path, time, code):
    install(**{time: f"sys.exit({code})"})
    assert main(FIT) in (1, 2)
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "SystemExit" in captured.err or "sys.exit" in captured.err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("time", TIMES)
def test_what_a_component_prints_is_no_json(install, capsys, time):
    install(**{time: "print('hello')"})
    assert main([*FIT, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["model"] == "model"
    assert "hello\n" in captured.err


def run(arguments):
    """Run a command where Python's standard output is the process's own, as without pytest."""
    with open(1, "w", closefd=False) as output, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        return main(arguments)


@pytest.mark.parametrize("code", ["os.write(1, b'hello')", "subprocess.run(['echo', 'hello'])"])
def test_what_a_component_writes_to_the_descriptor_is_no_json_either(install, capfd, code):
    install(on_init=code)
    assert run([*FIT, "--json"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["model"] == "model"
    assert "hello" in captured.err


def test_json_is_whole_after_an_error(install, capfd):
    install(on_init="raise ValueError('no luck')")
    assert run([*FIT, "--json"]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "no luck" in captured.err


def test_an_error_that_cannot_say_why_is_one_line(install, capsys):
    odd = "type('Odd', (ValueError,), {'__str__': lambda self: 1 / 0})"
    install(on_init=f"raise {odd}()")
    assert main(FIT) == 2
    assert capsys.readouterr().err.count("\n") == 1
