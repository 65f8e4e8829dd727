import io
import subprocess
import sys

import numpy as np
import pytest
from rich.table import Table
from rich.text import Text

from compactflow import terminal
from compactflow.cli import main
from compactflow.terminal import Terminal, progress, track

EVIL = "\x1b]0;title\x07\x1b[2J\x9b1m\u202e"


def steers(text):
    return any(sign in text for sign in "\x07\x9b\u202e\r") or "\x1b]" in text or "\x1b[2J" in text


@pytest.mark.parametrize("force_terminal", [True, False])
def test_no_text_steers_the_terminal(force_terminal):
    stream = io.StringIO()
    console = Terminal(file=stream, force_terminal=force_terminal, width=200)
    table = Table(EVIL, title=EVIL, caption=EVIL)
    table.add_row(EVIL)
    table.add_row(Text(EVIL, "bold"))
    console.print(table)
    console.print(EVIL)
    console.print(Text(EVIL))
    shown = stream.getvalue()
    assert not steers(shown)
    assert shown.count("\\u202e") >= 4  # narrow cells are cut
    assert shown.count("\n") > 8
    assert ("\x1b[1m" in shown) == force_terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.delenv("TERM", raising=False)
    assert list(track("abc", f"work{EVIL}", 3)) == list("abc")
    shown = sys.stderr.getvalue()
    assert "work" in shown
    assert "3/3" in shown
    assert not steers(shown.replace("\r", ""))


def test_progress_is_lines_elsewhere_now_and_then(monkeypatch, capsys):
    assert list(track("abc", "work", 3)) == list("abc")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(terminal, "_SECONDS", 0)
    assert list(track("abc", "work", 3)) == list("abc")
    assert capsys.readouterr() == ("", "work: 1 of 3\nwork: 2 of 3\nwork: 3 of 3\n")
    with progress("work", None) as reach:
        reach(7)
    assert capsys.readouterr().err == "work: 7\n"
    assert list(track("abc", "work", 3, show=False)) == list("abc")
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("small_default", "unrendered")
def test_every_long_command_shows_progress(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(terminal, "_SECONDS", 0)
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(60, 2))
    np.savetxt("train.csv", X, delimiter=",", header="a,b", comments="")
    fit = ["fit", "train.csv", "--out", "model", "--max-steps", "2", "--members", "1"]
    commands = {
        "training": [*fit, "--boundary", "natural"],
        "scoring": ["score", "model", "train.csv", "--out", "scores.csv"],
        "explaining": ["explain", "model", "train.csv", "--out", "why.csv"],
        "reading": ["report", "model", "train.csv", "--out", "report.html"],
    }
    for title, command in commands.items():
        assert main(command) == 0
        captured = capsys.readouterr()
        assert title in captured.err
        assert title not in captured.out
    for option in ("--json", "--quiet"):
        assert main([*commands["scoring"], "--force", option]) == 0
        assert capsys.readouterr().err == ""
    np.savez("one.npz", X=np.r_[X, X[:5] + 9], y=np.repeat([0, 1], [60, 5]))
    assert main(["benchmark", "--data", ".", "--detectors", "KNN", "--seeds", "1"]) == 0
    assert "benchmark: 1 of 1" in capsys.readouterr().err


def test_a_fault_of_the_program_cannot_steer_the_terminal(tmp_path):
    program = (
        "import sys; from compactflow.cli import main, scores\n"
        f"def check(*a, **k): raise RuntimeError({EVIL!r})\n"
        "scores.check_out = check; sys.argv = ['compactflow', 'score', 'm', 'n', '-o', 'o.csv']\n"
        "main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "RuntimeError" in run.stderr
    assert not steers(run.stderr)
