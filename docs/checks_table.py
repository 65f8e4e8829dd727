"""Writes the table of the kit's checks into checks.md: ``python docs/checks_table.py``."""

from __future__ import annotations

import inspect
from pathlib import Path

from compactflow.testing import check_names
from compactflow.testing.kit import CHECKS

PAGE = Path(__file__).with_name("checks.md")
START, END = "<!-- table -->\n", "<!-- end of table -->\n"

_HEAD = "| Kind | Check | What it asks |\n|---|---|---|\n"


def render() -> str:
    """The table, in Markdown: a line for each check of each kind."""
    return _HEAD + "".join(
        f"| {kind} | `{name}` | {_asked(CHECKS[kind][name])} |\n"
        for kind in CHECKS
        for name in check_names(kind)
    )


def _asked(check: object) -> str:
    """The first paragraph of a check's docstring."""
    text = inspect.getdoc(check) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


def main() -> None:
    """Put the present table in its place."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + START + render() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
