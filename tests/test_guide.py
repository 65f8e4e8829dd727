"""The guide for plugin authors shows the code that a new package really holds."""

import inspect
import re
from pathlib import Path

import pytest

from compactflow.plugins.scaffold import new_plugin
from compactflow.preprocessing import chain
from compactflow.testing.kit import CHECKS

GUIDE = Path(__file__).parents[1] / "docs" / "writing-a-plugin.md"
TEXT = GUIDE.read_text(encoding="utf-8")
CHECKS_TEXT = GUIDE.with_name("checks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(?:python|toml)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The texts of the guide's package, and of those of the other kinds."""
    files = [
        path
        for kind in ("push", "pull", "preprocessing", "backbone", "latent")
        for path in new_plugin("diamond", kind, tmp_path_factory.mktemp("guide"))
    ]
    files.append(Path(chain.__file__))
    return {path.name: path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_each_block_is_in_the_package(block, package):
    assert any(block in text for text in package.values())


def test_the_whole_latent_is_shown(package):
    code = "".join(BLOCKS)
    for method in re.findall(r"    def \w+.*", package["latent.py"]):
        assert method in code


@pytest.mark.parametrize("kind", CHECKS)
def test_each_check_is_explained(kind):
    explained = re.findall(rf"^\| {kind} \| `([a-z-]+)` \| (.*) \|$", CHECKS_TEXT, re.MULTILINE)
    assert dict(explained) == {
        name: " ".join(inspect.getdoc(check).split("\n\n")[0].split()).replace("|", "\\|")
        for name, check in CHECKS[kind].items()
    }
