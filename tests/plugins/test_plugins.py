"""The first-party plugins install by themselves, are found, and pass their own tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
NAMES = ["union", "shell", "dask"]


@pytest.fixture(scope="module", params=NAMES)
def installed(request, tmp_path_factory):
    """The plugin's name, and an environment in which it alone is installed."""
    name, target = request.param, tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--target", str(target)]
    subprocess.run([*install, str(PLUGINS / f"compactflow-{name}")], check=True)
    path = os.pathsep.join([str(target), str(PLUGINS.parent)])
    return name, os.environ | {"PYTHONPATH": path, "COMPACTFLOW_STRICT_PLUGINS": "1"}


@pytest.mark.slow
def test_it_is_listed(installed):
    name, environment = installed
    command = [sys.executable, "-m", "compactflow", "plugins", "--json"]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    rows = {row["name"]: row for row in json.loads(output.stdout)}
    assert rows[name]["distribution"] == f"compactflow-{name}"
    assert rows[name]["status"] == "plugin"


@pytest.mark.slow
def test_it_passes_its_own_tests(installed):
    name, environment = installed
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    folder = PLUGINS / f"compactflow-{name}"
    result = subprocess.run(
        [*command, "tests"], env=environment, cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_public_names_only(name):
    for path in (PLUGINS / f"compactflow-{name}" / "src").rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if "compactflow." in line]
        assert not [line for line in lines if "._" in line or "import _" in line]
