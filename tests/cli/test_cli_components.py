import json
import subprocess
import sys
from pathlib import Path

from commands import refused

from compactflow.cli import main


def test_plugins_lists_the_components_of_a_kind(capsys):
    assert main(["plugins", "--kind", "latent", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"cube", "ball", "gaussian"} <= {row["name"] for row in rows}
    columns = {"name", "kind", "distribution", "version", "status", "summary", "error"}
    assert all(set(row) == columns for row in rows)
    cube = next(row for row in rows if row["name"] == "cube")
    assert (cube["kind"], cube["distribution"], cube["status"]) == (
        "latent",
        "compactflow",
        "built-in",
    )


def test_plugins_as_a_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["plugins"]) == 0
    out = capsys.readouterr().out
    assert "coupling" in out
    # Square brackets are markup to the table's printer, and must come through.
    assert "Uniform on the hypercube [-1, 1]^D" in out


def test_plugins_refuses_an_unknown_kind(tmp_path, capsys):
    refused(["plugins", "--kind", "pusher"], capsys, tmp_path, "--kind", "backbone", "pusher")


def test_plugins_as_a_process_imports_no_torch():
    program = (
        "import sys; from compactflow.cli import main; code = main(['plugins', '--json'])\n"
        "assert not {'torch', 'sklearn', 'pyarrow'} & set(sys.modules); sys.exit(code)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)


def test_new_plugin_writes_a_package(tmp_path, capsys):
    assert main(["new-plugin", "torus", "--kind", "latent", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "compactflow-torus" / "pyproject.toml").is_file()
    assert "pip install" in capsys.readouterr().out
    assert main(["new-plugin", "torus", "--kind", "latent", "--out", str(tmp_path)]) == 2
    assert main(["new-plugin", "Torus", "--kind", "latent", "--out", str(tmp_path)]) == 2
    assert main(["new-plugin", "torus", "--kind", "shape", "--out", str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in errors] == [True] * 3
    other = ["new-plugin", "ring", "--kind", "latent", "--out", str(tmp_path), "--json"]
    assert main(other) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["package"] == str(tmp_path / "compactflow-ring")
    assert all(Path(path).is_file() for path in made["files"])
