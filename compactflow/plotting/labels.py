"""Names of features as text in pictures: as they are, in fonts that have their letters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, fontManager, get_font

from compactflow.text import printable

__all__ = ["drawable", "label_axes", "style_of"]

_LONGEST, _HEAD = 24, 14  # letters of a name that are drawn, and those of its beginning
# Families with the letters of many scripts, to be tried first, as reading a font takes time.
_LARGE = re.compile("CJK|Noto Sans|Gothic|Hei|Song|Ming|Hiragino|Malgun|Unicode", re.IGNORECASE)
_USUAL = (400, "normal", "regular")  # weights
_NO_LETTERS = "Last Resort"  # a font of boxes for all that other fonts lack


def drawable(name: object) -> str:
    r"""A name as it can be drawn: on one line, not too long.

    Letters that no installed font has are drawn as escapes, such as ``\u56de``.
    """
    text = printable(name)
    known = _letters_of(_usual()).union(*map(_letters_of, _find(_unusual(text))))
    drawn = "".join(
        letter if letter in known else letter.encode("unicode_escape").decode() for letter in text
    )
    return drawn if len(drawn) <= _LONGEST else f"{drawn[:_HEAD]}…{drawn[_HEAD - _LONGEST + 1 :]}"


def style_of(names: Iterable[object]) -> dict[str, Any]:
    """Keyword arguments of a matplotlib text that make it draw `drawable` names.

    A dollar sign is a dollar sign and no mathematics, and the fonts have the letters, if there
    are such fonts on the machine.
    """
    text = "".join(printable(name) for name in names)
    families = [*rcParams["font.family"], *_find(_unusual(text))]
    return {"fontfamily": families, "parse_math": False, "usetex": False}


def label_axes(ax: Axes, names: Sequence[object]) -> None:
    """Label the axes of a plane with the names of two features."""
    ax.set_xlabel(drawable(names[0]), **style_of(names[:1]))
    ax.set_ylabel(drawable(names[1]), **style_of(names[1:2]))


def _unusual(text: str) -> frozenset[str]:
    return frozenset(text) - _letters_of(_usual())


def _usual() -> str:
    return str(rcParams["font.family"][0])


@lru_cache
def _find(letters: frozenset[str]) -> tuple[str, ...]:
    """Families of fonts that have the letters, as far as there are any."""
    found = []
    names = {
        font.name
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight in _USUAL and _NO_LETTERS not in font.name
    }
    for name in sorted(names, key=lambda name: (not _LARGE.search(name), name)):
        if not letters:
            break
        if letters & _letters_of(name):
            found.append(name)
            letters -= _letters_of(name)
    return tuple(found)


@cache
def _letters_of(family: str) -> frozenset[str]:
    """The letters of a family's usual font."""
    try:
        path = fontManager.findfont(FontProperties(family=[family]))
        return frozenset(map(chr, get_font(str(path)).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()  # a font that cannot be read has no letters
