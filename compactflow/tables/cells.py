"""From cells to numbers, and what to say of cells that are none."""

from __future__ import annotations

import re
import reprlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import pyarrow as pa
import pyarrow.compute as pc

from compactflow.tables.dialect import NUMBER, THOUSANDS

__all__ = ["Fault", "as_numbers", "describe", "to_numbers", "with_point"]


@final
@dataclass(frozen=True, kw_only=True)
class Fault:
    """What of a column is no finite number.

    Attributes:
        row: The first such row, counted from 1; 0 if the type of the column is at fault.
        found: What is there.
        count: How many such rows.
    """

    row: int
    found: str
    count: int

    def and_more(self, count: int) -> Fault:
        """The fault with as many more rows."""
        return replace(self, count=self.count + count)


def to_numbers(
    column: pa.Array, first_row: int, decimal: str
) -> tuple[pa.DoubleArray | None, Fault | None]:
    """Convert a column to float64, or say what of it is no finite number.

    True and false, in any case of letters, are 1 and 0.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    numbers = as_numbers(column, decimal)
    if numbers is None:
        return None, Fault(row=0, found=str(column.type), count=len(column))
    finite = pc.fill_null(pc.is_finite(numbers), False)
    bad = pc.index(finite, False).as_py()
    if bad < 0:
        return numbers, None
    value = column[bad].as_py()
    value = value.strip() if isinstance(value, str) else value
    found = "is empty" if value in (None, "") else f"is {reprlib.repr(value)}"
    return None, Fault(row=first_row + bad, found=found, count=pc.sum(pc.invert(finite)).as_py())


def as_numbers(column: pa.Array, decimal: str) -> pa.DoubleArray | None:
    """Cells as float64, null where text is no number; ``None`` if the type holds no numbers."""
    is_type = pa.types
    text = (is_type.is_string, is_type.is_large_string, is_type.is_string_view)
    if any(is_text(column.type) for is_text in text):
        return _parse(pc.utf8_trim_whitespace(column.cast(pa.large_string())), decimal)
    kinds = (is_type.is_integer, is_type.is_floating, is_type.is_boolean, is_type.is_decimal)
    if not any(is_kind(column.type) for is_kind in (*kinds, is_type.is_null)):
        return None
    return column.cast(pa.float64(), safe=False)


def with_point(column: pa.Array, decimal: str) -> pa.Array:
    """Text in which the numbers, but nothing else, have a point for the decimal mark."""
    if decimal == "." or not pa.types.is_string(column.type):
        return column
    comma = "^ *" + NUMBER.replace(r"\.", ",") + " *$"
    number = pc.match_substring_regex(column, comma)
    return pc.if_else(number, pc.replace_substring(column, ",", "."), column)


def _parse(text: pa.LargeStringArray, decimal: str) -> pa.DoubleArray:
    if decimal == ",":
        with_point = pc.match_substring(text, ".")
        text = pc.if_else(with_point, None, pc.replace_substring(text, ",", "."))
    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        lower = pc.utf8_lower(text)
        for word, digit in {"true": "1", "false": "0"}.items():
            text = pc.if_else(pc.equal(lower, word), digit, text)
        number = pc.match_substring_regex(text, f"^{NUMBER}$")
        return pc.if_else(number, text, None).cast(pa.float64())


def describe(faults: Mapping[str, Fault], *, drop: bool, decimal: str) -> str:
    """Say what is wrong with which columns, and what to do.

    Args:
        faults: By the names of the columns.
        drop: Whether columns can be left out.
        decimal: The decimal mark that was read with.
    """
    parts = []
    for name, fault in faults.items():
        if fault.row:
            more = f" ({fault.count} such rows)" if fault.count > 1 else ""
            parts.append(f"column {name!r}, row {fault.row} {fault.found}{more}")
        else:
            parts.append(f"column {name!r} holds {fault.found}")
    typed = all(fault.row == 0 for fault in faults.values())
    advice = "convert it" if typed else "fill it in, or leave out the row"
    if drop:
        options = " ".join(f"--drop {shlex.quote(name)}" for name in faults)
        advice += f", or leave out the column: {options}"
    if decimal == "." and all(_has_comma(fault.found) for fault in faults.values()):
        advice += "; if the comma is the decimal mark, give --decimal ,"
    if decimal == "." and any(_parts_thousands(fault.found) for fault in faults.values()):
        advice += "; if commas part thousands, write the numbers without them"
    what = "not numbers" if typed else "not a finite number"
    return f"{', '.join(parts)}, {what}; {advice}"


def _has_comma(found: str) -> bool:
    return bool(re.fullmatch(r"is '[+-]?[0-9]*,[0-9]+'", found))


def _parts_thousands(found: str) -> bool:
    return bool(re.fullmatch(f"is '{THOUSANDS}'", found))
