"""The pages show what was measured."""

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
