"""How a text file spells a table: separator, decimal mark, encoding, and whether it has names."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

from compactflow.text import printable

__all__ = ["NUMBER", "THOUSANDS", "CellError", "Dialect", "Found", "TableError"]

NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
THOUSANDS = r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+"  # a comma that may part thousands

_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
_WORDS = {word: sign for sign, word in _SEPARATORS.items()} | {"\\t": "\t"}
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NO_NAME = {"na", "nan", "n/a", "null", "none", "?", "-", "inf", "-inf", "true", "false"}
_LINES = 100  # looked at


class TableError(ValueError):
    """A file is not a table of numbers, or lacks a column."""


class CellError(TableError):
    """A table has a cell that is not a finite number."""


@final
@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a text file spells a table; what is ``None`` is found by looking at the file.

    Attributes:
        separator: One character, or the word comma, semicolon, tab, bar or space.
        decimal: The decimal mark, ``"."`` or ``","``.
        encoding: A text encoding that Python knows.
        header: Whether the first line holds the names.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None

    def __post_init__(self) -> None:
        separator = _WORDS.get(self.separator or "", self.separator)
        if separator is not None and (len(separator) != 1 or separator in '"\r\n\0'):
            raise TableError(
                f"--sep must be one character or one of {', '.join(_WORDS)}, got {separator!r}"
            )
        object.__setattr__(self, "separator", separator)
        if self.decimal not in (None, ".", ","):
            raise TableError(f"--decimal must be '.' or ',', got {self.decimal!r}")
        if self.encoding is not None and not _is_text_encoding(self.encoding):
            raise TableError(
                f"--encoding must be a text encoding such as utf-8, cp1252 or utf-16, got "
                f"{self.encoding!r}"
            )

    def find(self, head: bytes, *, whole: bool, tabs: bool) -> Found:
        """Fill in what is not given.

        Args:
            head: The first bytes of the file.
            whole: Whether these are all.
            tabs: Whether the file's name says that tabs separate.

        Raises:
            TableError: If the first line may be names or data; the message names no file.
        """
        encoding = self.encoding or _find_encoding(head)
        decoder = codecs.getincrementaldecoder(encoding)()
        lines = decoder.decode(head, final=whole).removeprefix("\ufeff").splitlines(keepends=True)
        complete = lines if whole or len(lines) < 2 else lines[:-1]
        text = [line for line in complete[:_LINES] if line.strip("\r\n")]
        told = re.fullmatch('"?sep=(.)"?', text[0].strip("\r\n")) if text else None
        text = text[1:] if told else text
        separator = self.separator or (told and told[1]) or _find_separator(text, tabs=tabs)
        rows = _split(text, separator)
        decimal = self.decimal or _find_decimal(rows[1:] or rows)
        names = rows[0] if rows else []
        header, note = self.header, ""
        if header is None:
            header, note = _find_header(names, rows[1:], decimal)
        found = {
            "separator": ("--sep", separator, "\t" if tabs else ",", _SEPARATORS.get(separator)),
            "decimal": ("--decimal", decimal, ".", "comma"),
            "encoding": ("--encoding", encoding, "utf-8", encoding),
        }
        said = {
            option: f"{name} {word}"
            for name, (option, value, usual, word) in found.items()
            if getattr(self, name) is None and value != usual
        }
        notes = [note] if note else []
        if said:
            notes.append(
                f"read with {', '.join(said.values())}; {', '.join(said)} can change that"
            )
        return Found(
            dialect=replace(
                self, separator=separator, decimal=decimal, encoding=encoding, header=header
            ),
            names=names if header else [f"x{i}" for i in range(len(names))],
            skipped=1 if told else 0,
            notes=notes,
            bytes_per_row=sum(map(len, text)) / max(len(text), 1),
        )


@final
@dataclass(frozen=True, kw_only=True)
class Found:
    """What a text file turned out to be.

    Attributes:
        dialect: With nothing left open.
        names: Of the columns; without a header x0, x1, ...
        skipped: Lines before the table: one if it tells the separator, as spreadsheets write it.
        notes: What to tell the user: choices that were made for him.
        bytes_per_row: About how many, on average.
    """

    dialect: Dialect
    names: list[str]
    skipped: int
    notes: list[str]
    bytes_per_row: float


def _is_text_encoding(name: str) -> bool:
    try:
        return bool(getattr(codecs.lookup(name), "_is_text_encoding", True))
    except (LookupError, ValueError):
        return False


def _find_encoding(head: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" in head:
        raise TableError(
            "cannot be read: it holds zero bytes, so it is no text in UTF-8; if it is UTF-16, "
            "give --encoding utf-16-le or utf-16-be"
        )
    for encoding in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        return encoding
    return "latin-1"  # in which every byte is a character


def _split(lines: Sequence[str], separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return []


def _find_separator(lines: Sequence[str], *, tabs: bool) -> str:
    """The separator with which all lines have as many cells, and most cells are numbers."""
    candidates = sorted(_SEPARATORS, key=lambda sign: sign != "\t") if tabs else list(_SEPARATORS)
    rows = {sign: _split(lines, sign) for sign in candidates}
    even = [sign for sign in candidates if len({len(row) for row in rows[sign]}) == 1]
    split = [sign for sign in even if len(rows[sign][0]) > 1]
    if split:
        return max(split, key=lambda sign: _share_of_numbers(rows[sign][1:] or rows[sign]))
    bare = not any(sign in lines[0].strip() for sign in candidates) if lines else False
    if bare and "," not in even and ";" in even and _share_of_numbers(rows[";"][1:]) == 1:
        return ";"  # one column, with decimal commas
    # No separator fits all lines: by that which fits the first, the reader says which does not.
    return max(candidates, key=lambda sign: len(rows[sign][0]) if rows[sign] else 0)


def _share_of_numbers(rows: Iterable[Sequence[str]]) -> float:
    cells = [cell for row in rows for cell in row]
    numbers = sum(_is_number(cell, ".") or _is_number(cell, ",") for cell in cells)
    return numbers / max(len(cells), 1)


def _is_number(cell: str, decimal: str) -> bool:
    cell = cell.strip()
    if decimal == ",":
        cell = "" if "." in cell else cell.replace(",", ".")
    return bool(re.fullmatch(NUMBER, cell))


def _find_decimal(rows: Iterable[Sequence[str]]) -> str:
    """A comma where numbers have one, none has a point, and it cannot part thousands."""
    cells = [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if "," in cell and _is_number(cell, ",")]
    if not commas or any("." in cell and _is_number(cell, ".") for cell in cells):
        return "."
    return "." if all(re.fullmatch(THOUSANDS, cell) for cell in commas) else ","


def _find_header(
    first: Sequence[str], rows: Sequence[Sequence[str]], decimal: str
) -> tuple[bool, str]:
    """Whether the first line holds names, and what to say if that was no plain matter."""
    numbers = [float(cell.replace(decimal, ".")) for cell in first if _is_number(cell, decimal)]
    others = {
        place: cell.strip().lower()
        for place, cell in enumerate(first)
        if cell.strip() and not _is_number(cell, decimal)
    }
    words = {place for place, cell in others.items() if cell not in _NO_NAME}
    below = {place for row in rows for place, cell in enumerate(row) if _is_number(cell, decimal)}
    if not numbers or words & below:
        return True, ""
    shown = printable(", ".join(first[:4]) + (", ..." if len(first) > 4 else ""))
    if not others and numbers == list(range(len(numbers))):  # as pandas names them
        return True, f"the first line ({shown}) is read as names; --no-header reads it as a row"
    # Years, wavelengths and other such names rise or fall; rows of a table seldom do.
    steps = [right - left for left, right in itertools.pairwise(numbers)]
    ordered = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    if ordered and min(numbers) >= 0 and others.keys() <= words:
        raise TableError(
            f"the first line ({shown}) may be names or a row of numbers; give --header if it "
            "holds names, --no-header if it is a row"
        )
    last = f"x{len(first) - 1}"
    return False, (
        f"the first line ({shown}) is read as a row, and the columns are called x0 to {last}; "
        "--header reads it as names"
    )
