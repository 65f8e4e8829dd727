"""The first-party plugins install by themselves, are found, and pass their own tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
NAMES = ["union", "shell", "dask"]


@pytest.mark.slow
def test_they_install_are_listed_and_pass_their_own_tests(tmp_path):
    folders = [PLUGINS / f"compactflow-{name}" for name in NAMES]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(tmp_path)]
    subprocess.run([*install, *map(str, folders)], check=True)
    path = os.pathsep.join([str(tmp_path), str(PLUGINS.parent)])
    environment = os.environ | {"PYTHONPATH": path, "COMPACTFLOW_STRICT_PLUGINS": "1"}

    command = [sys.executable, "-m", "compactflow", "plugins", "--json"]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    rows = {row["name"]: row for row in json.loads(output.stdout)}
    for name in NAMES:
        assert rows[name]["distribution"] == f"compactflow-{name}"
        assert rows[name]["status"] == "plugin"

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += [str(folder / "tests") for folder in folders]
    result = subprocess.run(command, env=environment, cwd=PLUGINS, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_public_names_only(name):
    for path in (PLUGINS / f"compactflow-{name}" / "src").rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if "compactflow." in line]
        assert not [line for line in lines if "._" in line or "import _" in line]
