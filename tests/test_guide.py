"""The guide for plugin authors shows the code that a new package really holds."""

import inspect
import re
from pathlib import Path

import pytest

from compactflow.plugins.scaffold import new_plugin
from compactflow.preprocessing import chain
from compactflow.testing.kit import CHECKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GUIDES = {
    "latent": "writing-a-plugin.md",
    "backbone": "plugin-backbone.md",
    "pull": "plugin-pull.md",
    "push": "plugin-push.md",
    "preprocessing": "plugin-first-layer.md",
    "score": "plugin-score.md",
    "engine": "plugin-engine.md",
}
CHECKS_TEXT = (DOCS / "checks.md").read_text(encoding="utf-8")


def blocks(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```(?:python|toml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


BLOCKS = [block for page in GUIDES.values() for block in blocks(page)]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The texts of the guide's package, and of those of the other kinds."""
    files = [
        path
        for kind in reversed(GUIDES)
        for path in new_plugin("diamond", kind, tmp_path_factory.mktemp("guide"))
    ]
    files.append(Path(chain.__file__))
    files += [
        ROOT / "tests" / name for name in ("backbones/test_freia.py", "pushes/test_seeking.py")
    ]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_each_block_is_in_the_package(block, package):
    assert any(block in text for text in package.values())


@pytest.mark.parametrize("kind", GUIDES)
def test_the_whole_component_is_shown(kind, package):
    code = "".join(blocks(GUIDES[kind]))
    for method in re.findall(r"(?:    )?def \w+.*", package[f"{kind}.py"]):
        assert method in code


@pytest.mark.parametrize("kind", CHECKS)
def test_each_check_is_explained(kind):
    explained = re.findall(rf"^\| {kind} \| `([a-z-]+)` \| (.*) \|$", CHECKS_TEXT, re.MULTILINE)
    assert dict(explained) == {
        name: " ".join(inspect.getdoc(check).split("\n\n")[0].split()).replace("|", "\\|")
        for name, check in CHECKS[kind].items()
    }
