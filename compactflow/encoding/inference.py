"""What a column is taken for, by its type and its cells."""

from __future__ import annotations

import reprlib
import shlex
from collections.abc import Sequence
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from compactflow.encoding.cells import (
    FORMATS,
    are_durations,
    is_text,
    to_hexadecimals,
    to_moments,
    to_numbers,
    to_texts,
    to_times,
)
from compactflow.encoding.frames import cells_of
from compactflow.encoding.parts import Category, Moment, Number, Part, TimeOfDay, UnfitCellError

__all__ = ["FEWEST_ROWS", "is_plain", "take", "take_all"]

FEWEST_ROWS = 10  # that tell what a column is

_MIXED = 0.5  # the share of numbers from which a column is one of numbers, with some words
_MISSPELLED = 0.05  # the share of numbers among words up to which they are misspelled ones
_GROUPS = 31  # different whole numbers at most that are groups: hours, weekdays, days of a month
_GROUP_ROWS = 10  # rows that such a group has in the mean, at least
# A number with a sign of money, per cent, parentheses for a minus, parted thousands, or a unit.
_DRESSED = (
    r"^[(]?[+\-\x{2212}]?\s*\p{Sc}?\s*[+\-\x{2212}]?"
    r"(?:\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?|\d{1,3}(?:[. ]\d{3})+(?:,\d+)?|\d+(?:[.,]\d+)?)"
    r"\s*(?P<sign>[^\d\s.,:/_-][^\d\s]{0,5})?$"
)
_UNITS = 2  # different signs behind them, one of which may be none
_RATES = 12  # different numbers with signs, such as rates of a tax, that are categories at most
_UNIQUE = 0.5  # the share of values that come once from which text names its row


def is_plain(table: pa.Table) -> bool:
    """Whether all columns are numbers, or true and false, without a gap."""
    return all(_is_number(column.type) and not _has_gap(column) for column in table.columns)


def take_all(
    table: pa.Table, *, categorical: Sequence[str] = (), context: Sequence[str] = ()
) -> tuple[list[Part], list[Part], dict[str, str]]:
    """What the columns of a table are taken for.

    Args:
        table: The table.
        categorical: Columns to take for categories, whatever they hold.
        context: Columns given which the others are judged.

    Returns:
        The parts of the columns that are judged; those of the context; and of the columns that
        are left out why they are.

    Raises:
        ValueError: If a column cannot be a feature, or there is none left.
    """
    for argument, names in {"categorical": categorical, "context": context}.items():
        unknown = [name for name in names if name not in table.column_names]
        if unknown:
            raise ValueError(f"{argument} names {', '.join(map(repr, unknown))}, no column")
    parts: list[Part] = []
    given: list[Part] = []
    left_out: dict[str, str] = {}
    for name in table.column_names:
        roles = {"categorical": name in categorical, "given": name in context}
        taken = take(name, cells_of(table, name), **roles)
        if not isinstance(taken, str):
            (given if name in context else parts).extend(taken)
        elif name in context:
            raise ValueError(f"context names {name!r}, which {taken}")
        else:
            left_out[name] = taken
    if not parts:
        why = {part.name: "is context" for part in given} | left_out
        said = ", ".join(f"{name!r} {reason}" for name, reason in why.items())
        raise ValueError(f"no column is left as a feature: {said}")
    return parts, given, left_out


def take(
    name: str, column: pa.Array, *, categorical: bool = False, given: bool = False
) -> list[Part] | str:
    """What a column is taken for: its parts, or why it is left out.

    Args:
        name: The column's.
        column: Its cells.
        categorical: Whether it is to be a category.
        given: Whether it is a context, of which numbers that name groups are a category, too.

    Raises:
        ValueError: If the column cannot be a feature, or a number seems to be misspelled.
    """
    type_ = column.type
    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary)
    if isinstance(type_, pa.BaseExtensionType) or any(is_kind(type_) for is_kind in kinds):
        raise ValueError(f"column {name!r} holds {type_}, not numbers, words or dates; drop it")
    texts = to_texts(column)
    if texts.null_count == len(texts):
        return "has no values"
    if categorical or (given and _numbers_groups(column)):
        return [Category.of(name, column)]
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return [Moment.of(name, column, "iso")]
    if pa.types.is_time(type_):
        return [TimeOfDay(name=name)]
    if is_text(type_):
        return _take_text(name, column, texts)
    numbers = to_numbers(column)
    if numbers.null_count == len(numbers):
        raise ValueError(f"column {name!r} holds {type_}, not numbers, words or dates; drop it")
    return [Number(name=name, form=_form(type_))]


def _numbers_groups(column: pa.Array) -> bool:
    """Whether a column of a context numbers groups of rows, such as hours or machines.

    What is usual need not rise or fall with such a number: hour 23 is as near to 0 as to 22.
    """
    found = pc.unique(to_numbers(column).drop_null())
    few = 2 <= len(found) <= min(_GROUPS, len(column) // _GROUP_ROWS)
    return few and bool(pc.all(pc.equal(pc.floor(found), found)).as_py())


def _take_text(name: str, column: pa.Array, texts: pa.Array) -> list[Part] | str:
    known = texts.drop_null()
    numbers = to_numbers(known)
    share = 1 - numbers.null_count / len(known)
    if share == 1:
        boolean = pc.all(pc.is_in(pc.utf8_lower(known), pa.array(["true", "false"]))).as_py()
        whole = pc.all(pc.match_substring_regex(known, r"^[+-]?\d+$")).as_py()
        return [Number(name=name, form="boolean" if boolean else "integer" if whole else "number")]
    if to_hexadecimals(known).null_count == 0:
        return [Number(name=name, form="hexadecimal")]
    for form in FORMATS:
        # Most forms fail at the first cell, so that it is not asked of all.
        if not any(to_moments(some, form).null_count for some in (known[:1], known)):
            return [Moment.of(name, column, form)]
    if to_times(known).null_count == 0:
        return [TimeOfDay(name=name)]
    if are_durations(known):
        return [Number(name=name, form="duration")]
    odd = pc.and_(to_numbers(texts).is_null(), pc.match_substring_regex(texts, r"\d"))
    if share >= _MIXED and pc.mean(odd).as_py() <= _MISSPELLED:  # more are codes, such as tickets
        _refuse_odd_numbers(name, texts, odd)
        words = Category.of(name, column, words=True)
        return [Number(name=name, form="number", words=True), words]
    _refuse_decimal_commas(name, texts)
    counts = pc.value_counts(known).field("counts")
    if len(counts) > _RATES:
        _refuse_dressed_numbers(name, texts)
    if pc.sum(pc.equal(counts, 1)).as_py() > _UNIQUE * len(known):
        return "has another text in nearly every row (an id or free text)"
    return [Category.of(name, column)]


def _refuse_odd_numbers(name: str, texts: pa.Array, odd: pa.Array) -> None:
    """Refuse, among numbers, text with digits: more likely a number that was spelled otherwise."""
    if pc.any(odd).as_py():
        _refuse(name, texts, odd, " among numbers; mend it")


def _refuse_decimal_commas(name: str, texts: pa.Array) -> None:
    """Refuse text of which most has a decimal comma: it was read with a decimal point."""
    comma = pc.fill_null(pc.match_substring_regex(texts, r"^[+-]?\d*,\d+$"), False)
    if pc.mean(comma).as_py() > _MIXED:
        _refuse(name, texts, comma, "; if the comma is the decimal mark, give '--decimal ,'")


def _refuse_dressed_numbers(name: str, texts: pa.Array) -> None:
    """Refuse to take numbers for text because of signs, or one unit, or parted thousands."""
    found = pc.extract_regex(texts, _DRESSED)
    like = found.is_valid()
    dressed = pc.and_(like, pc.is_null(to_numbers(texts)))
    units = pc.unique(found.filter(like).field("sign"))
    one = len(pc.drop_null(units)) <= _UNITS
    if one and pc.any(dressed).as_py() and pc.mean(like).as_py() > _MIXED:
        _refuse(name, texts, dressed, "; write plain numbers, such as 1234.5")


def _refuse(name: str, texts: pa.Array, wrong: pa.Array, what_to_do: str) -> NoReturn:
    """Raise for the first wrong cell, and say, too, what may be done with the whole column."""
    row = pc.index(wrong, True).as_py()
    column = shlex.quote(name)
    raise UnfitCellError(
        name,
        row + 1,
        f"{reprlib.repr(texts[row].as_py())}{what_to_do}, leave out the column (--drop {column}), "
        f"or take it as a category (--categorical {column})",
    )


def _form(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_duration(type_):
        return "duration"
    return "integer" if pa.types.is_integer(type_) else "number"


def _is_number(type_: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(is_kind(type_) for is_kind in kinds)


def _has_gap(column: pa.ChunkedArray) -> bool:
    return bool(
        column.null_count or pc.any(pc.is_nan(column.cast(pa.float64(), safe=False))).as_py()
    )
