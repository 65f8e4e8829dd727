"""The first-party plugins and new packages install, are listed, and pass their own tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from compactflow.plugins.scaffold import KINDS, new_plugin

PLUGINS = Path(__file__).parents[2] / "plugins"
NAMES = ["union", "shell", "dask"]


@pytest.mark.slow
@pytest.mark.first
def test_packages_install_are_listed_and_pass_their_own_tests(tmp_path):
    """One test, as each start of pip and of pytest takes seconds."""
    pytest.importorskip("hatchling", reason="builds the packages")
    for kind in KINDS:
        new_plugin(f"my-{kind}", kind, tmp_path)
    packages = [PLUGINS / f"compactflow-{name}" for name in NAMES]
    packages += [tmp_path / f"compactflow-my-{kind}" for kind in KINDS]
    site = tmp_path / "site"
    path = os.pathsep.join([str(site), str(PLUGINS.parent)])
    environment = os.environ | {"PYTHONPATH": path, "COMPACTFLOW_STRICT_PLUGINS": "1"}

    def run(*arguments):
        command = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        return done.stdout

    flags = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run("pip", "install", *flags, "--target", site, *packages)
    rows = {row["name"]: row for row in json.loads(run("compactflow", "plugins", "--json"))}
    for name in [*NAMES, *(f"my-{kind}" for kind in KINDS)]:
        assert rows[name]["distribution"] == f"compactflow-{name}"
        assert rows[name]["status"] == "plugin"
    assert all(rows[f"my-{kind}"]["kind"] == kind for kind in KINDS)
    tests = [package / "tests" for package in packages]
    out = run("pytest", "-p", "no:cacheprovider", *tests)
    assert " passed" in out
    assert all(f"test_{name}.py" in out for name in (*NAMES, *KINDS))


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_public_names_only(name):
    for path in (PLUGINS / f"compactflow-{name}" / "src").rglob("*.py"):
        lines = [line for line in path.read_text().splitlines() if "compactflow." in line]
        assert not [line for line in lines if "._" in line or "import _" in line]
