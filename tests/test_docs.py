"""Every code block of the READMEs and the site runs as written, and the site builds offline.

The blocks of a page run in order in one empty folder: the Python ones in one namespace, the shell
ones line by line. A comment ``<!-- not run: reason -->`` above a block exempts it; it must parse
all the same. A block below a comment ``<!-- output -->`` is what the block before it prints; where
the comment goes on ``, other digits elsewhere``, numbers may differ, as training magnifies how a
machine rounds. The fits of a page are brief, of small networks, but those of the README, which
shows exact numbers of a fit.
"""

import ast
import gc
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import matplotlib as mpl
import pytest
import typer
from brief import shorten, shrink
from markdown_it import MarkdownIt
from mkdocs.commands.build import build
from mkdocs.config import load_config

import compactflow
from compactflow import cli, plotting, plugins, testing
from compactflow.plugins.builtin import BUILTINS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "generated" not in page.parts),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
# What they train, draw and export takes seconds.
LONG = {"README.md", "migrate.md", "start.md", "choosing.md", "data.md", "save.md", "torch.md"}
EXEMPT = re.compile(r"<!-- not run: \w.*-->", re.DOTALL)
OUTPUT = re.compile(r"<!-- output(?P<loose>, other digits elsewhere)? -->")
# Their Python is that of generated packages: see test_guide.py.
GUIDES = {"writing-a-plugin.md", *(page.name for page in (ROOT / "docs").glob("plugin-*.md"))}


def blocks(page):
    """The fenced blocks: language, text, first line and the comment above it."""
    before = ""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            yield token.info, token.content, token.map[0] + 1, before
        before = token.content if token.type == "html_block" else ""


def run_shell(line):
    """Run a line, in this process if it is compactflow's or Python, as imports take seconds."""
    words = shlex.split(line, comments=True)
    if words[0] == "compactflow":
        assert cli.main(words[1:]) == 0, line
    elif words[:2] == ["python", "-c"] and len(words) == 3:
        exec(words[2], {})
    else:
        shell = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}\n{line}'
        subprocess.run(["bash", "-euo", "pipefail", "-c", shell], check=True, timeout=600)


def parse_shell(line):
    """Check that the command line interface knows the command and its options."""
    for part in re.split(r"&&|[;|]", line):
        words = shlex.split(part, comments=True)
        if words and words[0] == "compactflow":
            group: Any = typer.main.get_command(cli.app)
            group.commands[words[1]].make_context(words[1], words[2:])


def plain(output, *, loose):
    """Printed lines without the spaces at their ends; if loose, without numbers and widths."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    if loose:
        lines = [re.sub(r"[ ━]+", " ", re.sub(r"-?\d[\d.]*", "0", line)) for line in lines]
    return "\n".join(lines)


@pytest.mark.usefixtures("first_party_plugins")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page.name in LONG)) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_code_runs_as_written(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    if page != ROOT / "README.md":
        shorten(monkeypatch.setattr)
        shrink(monkeypatch.setattr)
    namespace = {"__name__": "__main__"}
    for language, text, line, comment in blocks(page):
        if shown := OUTPUT.match(comment):
            printed = plain(capfd.readouterr().out, loose=bool(shown["loose"]))
            assert printed == plain(text, loose=bool(shown["loose"])), f"{page}:{line}"
            continue
        capfd.readouterr()
        exempt = bool(EXEMPT.match(comment))
        if language in ("sh", "console"):
            lines = text.replace("\\\n", " ").splitlines()
            for command in filter(None, lines):
                (parse_shell if exempt else run_shell)(command)
        elif language == "python" and page.name not in GUIDES:
            # A traceback then gives the page and its line.
            code = compile("\n" * line + text, str(page), "exec", ast.PyCF_ONLY_AST)
            if not exempt:
                exec(compile(code, str(page), "exec"), namespace)
        else:
            assert language in ("python", "toml", "text", "bibtex"), (
                f"{page}:{line} has no language"
            )


class _Page(HTMLParser):
    """What a built page loads, and the names that it defines."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.names = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.names.add(given.get("id"))
        if tag == "link" and given.get("rel") in ("canonical", "prev", "next"):
            return
        source = "href" if tag == "link" else "src"
        if tag != "a" and given.get(source):
            self.loads.append(given[source])
        if "srcset" in given:
            self.loads += [part.split()[0] for part in given["srcset"].split(",")]


@pytest.fixture
def uncollected(monkeypatch):
    """No garbage is collected, as the gallery does for each example, to measure it alone."""
    monkeypatch.setattr(gc, "collect", lambda: 0)
    gc.disable()
    yield
    gc.enable()


@pytest.mark.slow
@pytest.mark.first
@pytest.mark.usefixtures("uncollected")
def test_the_site_builds_is_whole_and_loads_nothing_from_elsewhere(tmp_path, monkeypatch):
    """One test, as the site takes long to build, and each worker would build its own."""
    source, site = tmp_path / "source", tmp_path / "site"
    # A copy, as the examples leave their pictures beside the pages, for the next build to take.
    shutil.copytree(ROOT / "docs", source / "docs", ignore=shutil.ignore_patterns("generated"))
    shutil.copy(ROOT / "mkdocs.yml", source)
    (source / "compactflow").symlink_to(ROOT / "compactflow")
    monkeypatch.chdir(source)
    shorten(monkeypatch.setattr)
    shrink(monkeypatch.setattr)
    config = load_config(str(source / "mkdocs.yml"), site_dir=str(site), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)  # which counts warnings: the command's --quiet leaves them uncounted
    config.plugins.on_shutdown()
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    check_loads(site, pages)
    check_names(site, pages)
    check_search(site)
    check_types(site)


def check_loads(site, pages):
    """Every picture, script, style and font is the site's own."""
    loads = [(path, load) for path, page in pages.items() for load in page.loads]
    loads += [
        (path, load)
        for path in site.rglob("*.css")
        for load in re.findall(r"url\(([^)]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(loads) > 100
    for path, load in loads:
        assert not re.match(r"['\"]?(https?:)?//", load), f"{path} loads {load}"
        if path.suffix == ".html" and not load.startswith(("data:", "/")):
            assert (path.parent / load.partition("?")[0]).exists(), f"{path} lacks {load}"


def check_names(site, pages):
    """The reference has every public name."""
    api = site / "api"
    defined = set().union(*(page.names for path, page in pages.items() if path.parent == api))
    public = {f"compactflow.{name}" for name in compactflow.__all__ if name != "__version__"}
    for module in (plugins, plotting, testing):
        public |= {f"{module.__name__}.{name}" for name in module.__all__}
    public |= {spec.target.replace(":", ".") for spec in BUILTINS}
    assert sorted(public - defined) == []


def check_search(site):
    """The search finds what people look for, without a server."""
    found = (site / "search" / "search_index.js").read_text(encoding="utf-8").lower()
    for word in ("TrainingDivergedWarning", "onnx", "missing", "docker", "tuning", "citation"):
        assert word.lower() in found
    assert "<!--" not in found


def check_types(site):
    """Each attribute in the reference has a type."""
    for page in (site / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        for listed in re.findall(r"Attributes:</span>\s*</p>\s*<ul>(.*?)</ul>", text, re.DOTALL):
            for line in re.findall(r"<li[^>]*>(.*?)</li>", listed, re.DOTALL):
                words = re.sub(r"<[^>]+>", "", line).split()
                assert words[1].startswith("("), f"{page.name}: {words[0]} has no type"


def test_the_page_of_messages_has_every_public_warning_and_error():
    text = (ROOT / "docs" / "api" / "messages.md").read_text(encoding="utf-8")
    found = set()
    for module in walk_packages(compactflow.__path__, "compactflow."):
        if "templates" not in module.name and not module.name.endswith("__main__"):
            for name, value in vars(import_module(module.name)).items():
                own = isinstance(value, type) and value.__module__ == module.name
                if own and issubclass(value, Exception) and not name.startswith("_"):
                    found.add(name)
    found -= {"SkipCheck"}  # a signal to the kit
    assert [name for name in sorted(found) if f"`{name}`" not in text] == []


def test_the_tables_of_scale_are_what_was_measured():
    table = runpy.run_path(str(ROOT / "docs" / "scale_table.py"))
    page = table["PAGE"].read_text(encoding="utf-8")
    assert table["render"](page) == page
