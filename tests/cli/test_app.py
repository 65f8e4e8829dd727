import subprocess
import sys

import pytest
from commands import contents, refused

import compactflow
from compactflow.cli import main
from compactflow.detector import fitting


def test_an_interrupt_ends_with_its_code(folder, monkeypatch):
    def train(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "train", train)
    assert main(["fit", "train.csv", "--out", "model"]) == 130
    assert set(contents(folder)) == {"train.csv"}


@pytest.mark.parametrize(
    "command",
    [
        *("set-boundary", "fit", "score", "explain", "report", "plugins", "new-plugin"),
        *("reproduce", "combinations", "benchmark", "samples"),
    ],
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_has_an_example(command, flag, capsys):
    assert main([command, flag]) == 0
    assert f"Example: compactflow {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_help_names_the_commands(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ["fit", "score", "plugins", "reproduce"])


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"compactflow {compactflow.__version__}\n"


def test_an_unknown_command(tmp_path, capsys):
    refused(["train"], capsys, tmp_path, "train", "compactflow --help")


def test_the_exit_code_of_the_process(tmp_path):
    command = [sys.executable, "-m", "compactflow", "fit", "none.csv", "--out", "model"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []
