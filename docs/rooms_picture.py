"""Draws the rooms of the package from pyproject.toml: ``python docs/rooms_picture.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path

import tomllib

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"

_WIDTH, _NAMES, _HEIGHT, _GAP = 880, 340, 30, 14
_INK, _FILL, _LINE, _FAINT = "#1a237e", "#e8eaf6", "#5c6bc0", "#757f8a"


def layers() -> list[list[str]]:
    """The rooms of each layer, the highest first, as the import contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (rooms,) = (each for each in contracts["contracts"] if each["id"] == "rooms")
    return [[name.strip() for name in layer.split("|")] for layer in rooms["layers"]]


def render() -> str:
    """The picture, as SVG."""
    rows = layers()
    height = len(rows) * (_HEIGHT + _GAP)
    parts = [part for i, row in enumerate(rows) for part in _row(row, i * (_HEIGHT + _GAP) + 2)]
    arrows = "".join(
        f'<path d="M{_NAMES / 2} {y}v{_GAP - 3}" marker-end="url(#tip)"/>\n'
        for y in (i * (_HEIGHT + _GAP) + 3 + _HEIGHT for i in range(len(rows) - 1))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13">\n'
        '<marker id="tip" orient="auto" markerWidth="7" markerHeight="7" refX="5" refY="3.5">'
        f'<path d="M0 0L7 3.5L0 7z" fill="{_LINE}"/></marker>\n'
        f'<g stroke="{_LINE}" fill="none">\n{arrows}</g>\n{"".join(parts)}</svg>\n'
    )


def _row(rooms: list[str], y: float) -> Iterator[str]:
    few = len(rooms) < 3
    shares = [1 if few else len(name) + 3 for name in rooms]  # many are as wide as their names
    free, x = _NAMES - 6 * (len(rooms) - 1), 1.0
    for name, share in zip(rooms, shares, strict=True):
        width = free * share / sum(shares)
        yield (
            f'<rect x="{x:.5g}" y="{y:g}" width="{width:.5g}" height="{_HEIGHT}" rx="5" '
            f'fill="{_FILL}" stroke="{_LINE}"/>\n'
            f'<text x="{x + width / 2:.5g}" y="{y + 19:g}" text-anchor="middle" fill="{_INK}" '
            f'font-size="{13 if few else 10}">{name}</text>\n'
        )
        x += width + 6
    if few:
        for name, below in zip(rooms, [19] if len(rooms) == 1 else [12, 27], strict=True):
            yield (
                f'<text x="{_NAMES + 16}" y="{y + below:g}" fill="{_FAINT}" '
                f'font-size="{13 if len(rooms) == 1 else 11}">'
                f"{escape(_first_sentence(name))}</text>\n"
            )


def _first_sentence(room: str) -> str:
    folder, file = ROOT / "compactflow" / room / "__init__.py", ROOT / f"compactflow/{room}.py"
    docstring = ast.get_docstring(ast.parse((folder if folder.exists() else file).read_text()))
    assert docstring is not None
    return docstring.split("\n")[0].split(". ")[0].split(": ")[0].rstrip(".")


if __name__ == "__main__":
    PICTURE.write_text(render())
