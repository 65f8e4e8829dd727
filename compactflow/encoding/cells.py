"""Cells of any type as numbers, words and moments, with null for gaps."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compactflow.tables.cells import as_numbers

__all__ = [
    "FORMATS",
    "are_durations",
    "floats",
    "is_text",
    "to_durations",
    "to_hexadecimals",
    "to_moments",
    "to_numbers",
    "to_texts",
    "to_times",
]

Array = NDArray[np.float64]

_GAPS = ["", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?"]
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?$"
_TIME = r"^([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?( ?[ap]m)?$"
# Durations: of pandas and Python, "1 days 02:03:04", of ISO 8601, "P1DT2H3M4S", and "26:03:04".
_CLOCK = (
    r"^(?:(?P<days>[+-]?\d+) days?,? ?)?"
    r"(?:(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d(?:\.\d{1,9})?))?)?$"
)
_LETTERS = (
    r"^(?P<sign>[+-]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,9})?)S)?)?$"
)
_UNITS = {"weeks": 604800.0, "days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_HEX = r"^0[xX][0-9a-fA-F]{1,13}$"  # whole numbers that a float tells apart
# What dates may look like, ISO's first. Of two that fit, the first is taken.
_DAYS = ["%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%dT%H%M%S"]
_DAYS += ["%d-%b-%Y", "%d %b %Y", "%b %d, %Y"]  # months by name, whole or short
_DAYS += ["%d.%m.%y", "%d/%m/%y", "%m/%d/%y"]
_CLOCKS = ["", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p"]
FORMATS = ["iso", *(day + clock for clock in _CLOCKS for day in _DAYS)]


def is_text(type_: pa.DataType) -> bool:
    """Whether a column of this type holds text."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_kind(type_) for is_kind in kinds)


def floats(numbers: pa.Array) -> Array:
    """Arrow's numbers as an array, ``(N,)``, with NaN for null."""
    return np.array(numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def to_texts(column: pa.Array) -> pa.LargeStringArray:
    """Cells as text without blanks around it; what stands for a missing value is null.

    A whole number has no point, whatever type holds it.
    """
    if pa.types.is_floating(column.type):
        values = floats(column)
        known = values[~np.isnan(values)]
        if (known == np.floor(known)).all() and (np.abs(known) < 1e15).all():
            column = pa.array(values, from_pandas=True).cast(pa.int64())
    text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    gap = pc.is_in(pc.utf8_lower(text), value_set=pa.array(_GAPS, pa.large_string()))
    return pc.if_else(gap, None, text)


def to_numbers(column: pa.Array) -> pa.DoubleArray:
    """Cells as numbers; null where a cell is none, as a gap is. Durations count in seconds."""
    if pa.types.is_duration(column.type):
        return pc.divide(column.cast(pa.duration("us")).cast(pa.int64()).cast(pa.float64()), 1e6)
    column = to_texts(column) if is_text(column.type) else column
    numbers = as_numbers(column, ".")
    if numbers is None:
        return pa.nulls(len(column), pa.float64())
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def to_durations(column: pa.Array) -> pa.DoubleArray:
    """Durations as seconds; null where a cell is none, as a gap is."""
    if not is_text(column.type):
        return to_numbers(column)
    text = to_texts(column)
    days, clock = (_in_seconds(text, form) for form in (_CLOCK, _LETTERS))
    return pc.coalesce(days, clock)


def are_durations(known: pa.Array) -> bool:
    """Whether all cells of text are durations, and one is more than a time of day."""
    return to_durations(known).null_count == 0 and to_times(known).null_count > 0


def _in_seconds(text: pa.LargeStringArray, form: str) -> pa.DoubleArray:
    """The seconds of durations that are spelled in one way."""
    text = pc.if_else(pc.match_substring_regex(text, r"\d(:\d|.*[sSDWHM]$)"), text, None)
    found = pc.extract_regex(text, form)
    parts = {field.name: found.field(field.name) for field in found.type}

    def count(name: str) -> pa.DoubleArray:
        digits = pc.if_else(pc.equal(parts[name], ""), "0", parts[name])
        return pc.multiply(digits.cast(pa.float64()), _UNITS[name])

    minus = pc.if_else(pc.equal(parts.pop("sign"), "-"), -1.0, 1.0)
    signed = {name: count(name) for name in parts}
    apart = signed.pop("days") if form == _CLOCK else 0.0  # "-1 days +23:00:00"
    total = pc.multiply(minus, reduce(pc.add, signed.values()))
    return pc.if_else(found.is_valid(), pc.add(apart, total), None)


def to_hexadecimals(column: pa.Array) -> pa.DoubleArray:
    """Whole numbers such as ``0x1f`` as numbers; null where a cell is none, as a gap is."""
    if not is_text(column.type):
        return to_numbers(column)
    text = to_texts(column)
    text = pc.if_else(pc.match_substring_regex(text, _HEX), text, None)
    return text.cast(pa.int64()).cast(pa.float64())


def to_moments(column: pa.Array, form: str) -> pa.TimestampArray:
    """Cells as moments by the clock on the wall; null where a cell is none.

    Args:
        column: Dates, timestamps or text.
        form: How text is spelled: one of `FORMATS`.
    """
    type_ = column.type
    if pa.types.is_timestamp(type_) and type_.tz:
        column = pc.local_timestamp(column)
    if not is_text(type_):
        return column.cast(pa.timestamp("us"), safe=False)
    text = to_texts(column)
    if form != "iso":
        text = pc.replace_substring_regex(text, r"(:\d\d)\.\d{1,9}( ?[AaPp][Mm])?$", r"\1\2")
        if "%Y" in form:  # which would take 24 for the year 24
            text = pc.if_else(pc.match_substring_regex(text, r"\d{4}"), text, None)
        return pc.strptime(text, form, "us", error_is_null=True)
    text = pc.replace_substring_regex(text, r" ?(Z|UTC|[+-]\d\d:?\d\d)$", "")
    text = pc.if_else(pc.match_substring_regex(text, _ISO), text, None)
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+$", r"\1")  # finer than microseconds
    try:
        return text.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:  # such as the 31st of April
        day = pc.utf8_slice_codeunits(text, 0, 10)
        real = pc.equal(pc.strftime(pc.strptime(day, "%Y-%m-%d", "s", True), "%Y-%m-%d"), day)
        return pc.if_else(real, text, None).cast(pa.timestamp("us"))


def to_times(column: pa.Array) -> pa.DoubleArray:
    """Times of day as seconds; null where a cell is none."""
    if not is_text(column.type):
        return pc.divide(column.cast(pa.time64("us")).cast(pa.int64()).cast(pa.float64()), 1e6)
    text = pc.utf8_lower(to_texts(column))
    text = pc.if_else(pc.match_substring_regex(text, _TIME), text, None)
    seconds = [None if time is None else _seconds(time) for time in text.to_pylist()]
    return pa.array(seconds, pa.float64())


def _seconds(time: str) -> float:
    hours, minutes, *rest = time.rstrip(" apm").split(":")
    hour = int(hours) % 12 + 12 * time.endswith("pm") if time.endswith("m") else int(hours)
    return 3600 * hour + 60 * int(minutes) + (float(rest[0]) if rest else 0.0)
