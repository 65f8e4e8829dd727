"""The pages show what was measured, and lead readers where they want to go."""

import re
import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def figures():
    sys.path.insert(0, str(DOCS))
    try:
        import figures
    finally:
        sys.path.remove(str(DOCS))
    return figures


def test_every_figure_and_table_is_what_was_measured(figures):
    for path in figures.PAGES:
        page = path.read_text(encoding="utf-8")
        assert figures.render(page) == page, f"{path}: run python docs/figures.py"


@pytest.mark.parametrize(
    ("shown", "text"), [("0", "85"), (".5", "85.0"), ("0.50", "85.00"), ("1,000", "85")]
)
def test_a_figure_keeps_its_decimals(figures, shown, text):
    assert (
        figures.render(f"on {shown}<!-- seeds sets --> sets")
        == f"on {text}<!-- seeds sets --> sets"
    )


def test_a_figure_keeps_its_point(figures):
    assert figures.render(".5<!-- seeds KNN1 all -->").startswith(".")
    assert figures.render("0.5<!-- seeds KNN1 all -->").startswith("0.")


def test_an_unknown_figure_is_an_error(figures):
    with pytest.raises(KeyError, match="seeds KNN9 all"):
        figures.render(".5<!-- seeds KNN9 all -->")


# Who comes with which question, and the pages that answer it.
READERS = {
    "has a CSV": ["start", "howto/data", "howto/calibrate", "howto/explain", "api/messages"],
    "has the paper": ["method", "reproduction", "pushes", "supports", "howto/torch"],
    "writes a plugin": ["writing-a-plugin", "plugin-push", "checks", "api/plugins", "publishing"],
    "deploys": ["howto/deploy", "howto/save", "file-format", "scale", "commands"],
    "doubts": ["detection", "default", "comparison", "benchmarks", "experiments"],
}


def links(page):
    """The pages that the text of a page leads to, without the menu."""
    for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
        yield (page.parent / target).resolve()


@pytest.fixture(scope="module")
def clicks():
    """Each page with how many clicks in texts lead to it from home."""
    found, reached = {}, {(DOCS / "index.md").resolve()}
    for count in range(10):
        found |= dict.fromkeys(reached, count)
        near = {target for page in reached if page.exists() for target in links(page)}
        reached = near - found.keys()
    return found


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_is_there_by_three_clicks(clicks, reader):
    far = [name for name in READERS[reader] if clicks.get((DOCS / f"{name}.md").resolve(), 9) > 3]
    assert far == []


def test_every_page_is_led_to_and_leads_on(clicks):
    pages = [page for page in DOCS.rglob("*.md") if page.parent.name != "examples"]
    assert [page.name for page in pages if page.resolve() not in clicks] == []
    ends = [page.name for page in pages if not {*links(page)} - {page}]
    assert {*ends} <= {"changelog.md", "earlier-default.md"}


def test_the_readme_of_a_package_index_leads_nowhere_that_is_not_there():
    toml = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")
    project = toml.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    for rule in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"][
        "substitutions"
    ]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert targets == [target for target in targets if target.startswith("https://")] != []
    assert "images/" not in text
    assert "<!--" not in text
    assert "Five-minute start goes on from here" in text


def test_the_page_of_commands_has_those_that_there_are():
    table = runpy.run_path(str(DOCS / "commands_table.py"))
    page = table["PAGE"].read_text(encoding="utf-8")
    assert table["START"] + table["render"]() + table["END"] in page, "docs/commands_table.py"
