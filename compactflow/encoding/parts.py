"""The kinds of column: from cells to codes, from codes to features, and back.

A code is one number for a cell: a number is its own, a category has its place in a list, a moment
the seconds since 1970; a gap is NaN. Features are what a flow sees of a code.
"""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compactflow.encoding.cells import floats, to_moments, to_numbers, to_texts, to_times

__all__ = ["PARTS", "Category", "Moment", "Number", "Part", "TimeOfDay", "UnfitCellError"]

Array = NDArray[np.float64]

_DAY = 86400.0
_PERIODS = {"day": _DAY, "week": 7 * _DAY, "year": 365.2425 * _DAY}
_KNOWN_LEVELS = 4096  # values of a category that are told apart
_COMMON = 0.1  # the share of rows from which a value has a feature of its own,
_COMMON_ROWS = 5  # if it comes so often at least
_UNSEEN, _NUMBER = "(unseen)", "(number)"


class UnfitCellError(ValueError):
    """A cell is of another kind than its column.

    Attributes:
        column: The column's name.
        row: The cell's, counted from 1.
        what: What is there, and what should be.
    """

    def __init__(self, column: str, row: int, what: str) -> None:
        super().__init__(f"column {column!r}, row {row} is {what}")
        self.column = column
        self.row = row
        self.what = what

    def after(self, rows: int) -> UnfitCellError:
        """The same, where so many rows come before."""
        return UnfitCellError(self.column, self.row + rows, self.what)


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """What a column, or one side of it, was taken for. Its fields are what a file holds of it.

    Attributes:
        name: The column.
    """

    name: str

    kind: ClassVar[str]

    @property
    def title(self) -> str:
        """The name to show."""
        return self.name

    @property
    def whole(self) -> bool:
        """Whether there is no code between two others."""
        return True

    @abstractmethod
    def codes(self, column: pa.Array) -> Array:
        """The codes of cells, ``(N,)``.

        Raises:
            UnfitCellError: If a cell is of another kind.
        """

    @abstractmethod
    def cells(self, codes: Array) -> pa.Array:
        """The cells of codes ``(N,)``."""

    @abstractmethod
    def describe(self) -> str:
        """What the column was taken for, in words."""

    def features(self, codes: Array, *, own: bool = False) -> Array:
        """The features of codes ``(N,)``, ``(N, K)``; all are NaN for a gap.

        Args:
            codes: The codes.
            own: Whether these are the rows that the part was fitted on. Then a row counts for
                nothing in its own features, so that it looks as a new row would.
        """
        return codes[:, None]

    def unknown(self, code: float) -> bool:
        """Whether a code is that of a value which training did not have."""
        return False

    def step(self, start: float, end: float) -> float | None:
        """From one code to another; ``None`` if there is no such thing."""
        return None

    def amounts(self, codes: Array) -> Array:
        """The codes, as an amount that has a range; 0 if there is none."""
        return np.zeros(len(codes))

    def restore(self, features: Array) -> Array:
        """The codes that features ``(N, K)`` are of, or near to, ``(N,)``."""
        return features[:, 0]


@final
@dataclass(frozen=True, kw_only=True)
class Number(Part):
    """A number, true or false, or a duration, in seconds.

    Attributes:
        form: ``"number"``, ``"integer"``, ``"boolean"`` or ``"duration"``.
        words: Whether other cells are words, and a gap here.
    """

    form: str
    words: bool = False

    kind: ClassVar[str] = "number"

    def codes(self, column: pa.Array) -> Array:
        """The codes of cells ``(N,)``; see `Part.codes`."""
        numbers = to_numbers(column)
        if not self.words:
            check(self.name, column, numbers, "a number; --categorical takes words")
        codes = floats(numbers)
        check(self.name, column, pa.array(~np.isinf(codes), mask=np.isinf(codes)), "finite")
        return codes

    @property
    def whole(self) -> bool:
        """Whether there is no code between two others."""
        return self.form in ("integer", "boolean")

    def restore(self, features: Array) -> Array:
        """The codes that features ``(N, K)`` are near to."""
        return features[:, 0].round() if self.whole else features[:, 0]

    def step(self, start: float, end: float) -> float | None:
        """From one code to another."""
        return None if np.isnan(end - start) else end - start

    def amounts(self, codes: Array) -> Array:
        """The amounts of codes ``(N,)``; see `Part.amounts`."""
        return codes

    def cells(self, codes: Array) -> pa.Array:
        """The cells of codes ``(N,)``."""
        gaps = np.isnan(codes)
        if self.form == "boolean":
            return pa.array(codes >= 0.5, mask=gaps)
        if self.form == "number":
            return pa.array(codes, mask=gaps)
        whole = codes if self.form == "integer" else codes * 1e6
        numbers = pa.array(np.where(gaps, 0, whole).round().astype(np.int64), mask=gaps)
        return numbers if self.form == "integer" else numbers.cast(pa.duration("us"))

    def describe(self) -> str:
        """What the column was taken for, in words."""
        return self.form


@final
@dataclass(frozen=True, kw_only=True)
class Category(Part):
    """One value of a list.

    The features are one for each common value, 1 where it is that, and the rarity: 0 for a common
    value, and else the logarithm of how many times rarer than the rarest common one it is. The
    counts are shrunken by a half, so that a value which training did not have is the rarest.

    Attributes:
        levels: The values, the most common first.
        counts: How often each was there.
        common: How many of them, the first, have a feature of their own.
        words: Whether the column has numbers, too: they are all one value here, the first.
    """

    levels: list[str]
    counts: list[int]
    common: int
    words: bool = False

    kind: ClassVar[str] = "category"

    @property
    def title(self) -> str:
        """The name to show."""
        return f"{self.name} (word)" if self.words else self.name

    @classmethod
    def of(cls, name: str, column: pa.Array, *, words: bool = False) -> Category:
        """The category that the cells of training make."""
        found = pc.value_counts(_values(column, words).drop_null())
        counted = [(each["counts"].as_py(), each["values"].as_py()) for each in found]
        counted.sort(key=lambda pair: (pair[1] != _NUMBER, -pair[0], pair[1]))
        counts = [count for count, _ in counted[:_KNOWN_LEVELS]]
        least = max(_COMMON_ROWS, _COMMON * sum(count for count, _ in counted))
        common = sum(count >= least for count in counts)
        levels = [level for _, level in counted[:_KNOWN_LEVELS]]
        return cls(name=name, levels=levels, counts=counts, common=common, words=words)

    def codes(self, column: pa.Array) -> Array:
        """The codes of cells ``(N,)``; see `Part.codes`."""
        values = _values(column, self.words)
        places = pc.index_in(values, value_set=pa.array(self.levels, pa.large_string()))
        return floats(pc.if_else(values.is_valid(), pc.fill_null(places, len(self.levels)), None))

    def cells(self, codes: Array) -> pa.Array:
        """The cells of codes ``(N,)``."""
        gaps = np.isnan(codes)
        levels = pa.array([*self.levels, _UNSEEN])
        return levels.take(pa.array(np.where(gaps, 0, codes).astype(np.int64), mask=gaps))

    def unknown(self, code: float) -> bool:
        """Whether a code is that of a value which training did not have."""
        return code == len(self.levels)

    def features(self, codes: Array, *, own: bool = False) -> Array:
        """The features of codes ``(N,)``; see `Part.features`."""
        gaps, counts = np.isnan(codes), np.array([*self.counts, 0.0])
        places = np.where(gaps, 0, codes).astype(np.int64)
        least = counts[max(self.common, 1) - 1]
        rarity = np.log((least + 0.5) / ((counts[places] - own).clip(min=0) + 0.5))
        rarity[places < self.common] = 0.0
        shown = self.common if self.common > 2 else min(self.common, 1)
        features = np.column_stack([places[:, None] == np.arange(shown), rarity])
        features[gaps] = np.nan
        return features

    def restore(self, features: Array) -> Array:
        """The codes that features ``(N, K)`` are near to."""
        levels = self.features(np.arange(len(self.levels) + 1, dtype=np.float64))
        gaps = np.isnan(features[:, 0])
        square = ((np.nan_to_num(features)[:, None] - levels) ** 2).sum(axis=2)
        square[square[:, -1] > 1e-9, -1] = np.inf  # what is near to it is a value that was there
        return np.where(gaps, np.nan, square.argmin(axis=1))

    def describe(self) -> str:
        """What the column was taken for, in words."""
        rare = len(self.levels) - self.common
        what = "words among numbers" if self.words else "category"
        return f"{what}: {len(self.levels)} values" + (f", {rare} of them rare" * (rare > 0))


@final
@dataclass(frozen=True, kw_only=True)
class Moment(Part):
    """A date, or a date with a time.

    The features are the sine and the cosine of each cycle, and the days since 1970.

    Attributes:
        form: How text spells it: see `compactflow.encoding.cells.FORMATS`.
        cycles: Of ``"day"``, ``"week"`` and ``"year"``.
        trend: Whether the days count.
        known: Some moments of training, to find one by its cycles.
    """

    form: str
    cycles: list[str]
    trend: bool
    known: list[float]

    kind: ClassVar[str] = "date"

    @classmethod
    def of(cls, name: str, column: pa.Array, form: str) -> Moment:
        """Of the cells of training.

        A column in rising or falling order is the time of the rows: new rows lie beyond, so only
        its cycles count. So do those of other columns that the rows went through twice.
        """
        seconds = _to_seconds(to_moments(column, form))
        seconds = seconds[~np.isnan(seconds)]
        span, steps = np.ptp(seconds), np.diff(seconds)
        cycles = [name for name, period in _PERIODS.items() if span >= 2 * period]
        if (seconds % _DAY == seconds[0] % _DAY).all():
            cycles = [name for name in cycles if name != "day"]
        log = bool(cycles) and ((steps >= 0).all() or (steps <= 0).all())
        known = np.unique(np.quantile(seconds, np.linspace(0, 1, 256), method="nearest"))
        return cls(name=name, form=form, cycles=cycles, trend=not log, known=known.tolist())

    def codes(self, column: pa.Array) -> Array:
        """The codes of cells ``(N,)``; see `Part.codes`."""
        moments = to_moments(column, self.form)
        check(self.name, column, moments, "a date as in training")
        return _to_seconds(moments)

    def step(self, start: float, end: float) -> float | None:
        """From one code to another."""
        return None if np.isnan(end - start) else (end - start) / _DAY

    def amounts(self, codes: Array) -> Array:
        """The amounts of codes ``(N,)``; see `Part.amounts`."""
        return 1970 + codes / _PERIODS["year"] if self.trend else super().amounts(codes)

    def cells(self, codes: Array) -> pa.Array:
        """The cells of codes ``(N,)``."""
        gaps = np.isnan(codes)
        if all(moment % _DAY == 0 for moment in self.known):
            days = pa.array(np.where(gaps, 0, codes / _DAY).round().astype(np.int32), mask=gaps)
            return days.cast(pa.date32())
        whole = np.where(gaps, 0, codes).round().astype(np.int64)
        return pa.array(whole, mask=gaps).cast(pa.timestamp("s"))

    def features(self, codes: Array, *, own: bool = False) -> Array:
        """The features of codes ``(N,)``; see `Part.features`."""
        angles = [2 * np.pi * codes / _PERIODS[cycle] for cycle in self.cycles]
        waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
        return np.column_stack([*waves, codes / _DAY] if self.trend else waves)

    def restore(self, features: Array) -> Array:
        """The codes that features ``(N, K)`` are near to."""
        if self.trend:
            return features[:, -1] * _DAY
        known = np.array(self.known)
        square = ((features[:, None] - self.features(known)) ** 2).sum(axis=2)
        nearest = known[np.nan_to_num(square).argmin(axis=1)]
        return np.where(np.isnan(features[:, 0]), np.nan, nearest)

    def describe(self) -> str:
        """What the column was taken for, in words."""
        cycles = [f"cycle of the {cycle}" for cycle in self.cycles]
        form = "" if self.form == "iso" else f" ({self.form})"
        return f"date{form}: {', '.join(cycles + ['trend'] * self.trend)}"


@final
@dataclass(frozen=True, kw_only=True)
class TimeOfDay(Part):
    """A time of the day, as a point on the circle."""

    kind: ClassVar[str] = "time"

    def codes(self, column: pa.Array) -> Array:
        """The codes of cells ``(N,)``; see `Part.codes`."""
        times = to_times(column)
        check(self.name, column, times, "a time of day")
        return floats(times)

    def cells(self, codes: Array) -> pa.Array:
        """The cells of codes ``(N,)``."""
        gaps = np.isnan(codes)
        seconds = np.where(gaps, 0, codes).round().astype(np.int32) % int(_DAY)
        return pa.array(seconds, pa.int32(), mask=gaps).cast(pa.time32("s"))

    def features(self, codes: Array, *, own: bool = False) -> Array:
        """The features of codes ``(N,)``; see `Part.features`."""
        angle = 2 * np.pi * codes / _DAY
        return np.column_stack([np.sin(angle), np.cos(angle)])

    def restore(self, features: Array) -> Array:
        """The codes that features ``(N, K)`` are near to."""
        return np.arctan2(features[:, 0], features[:, 1]) % (2 * np.pi) * _DAY / (2 * np.pi)

    def describe(self) -> str:
        """What the column was taken for, in words."""
        return "time of day: cycle of the day"


PARTS: dict[str, type[Part]] = {part.kind: part for part in (Number, Category, Moment, TimeOfDay)}


def check(name: str, column: pa.Array, found: pa.Array, wanted: str) -> None:
    """Refuse a cell that is no gap and was not understood.

    Args:
        name: Of the column.
        column: Its cells.
        found: What was understood of them; null where nothing.
        wanted: What a cell should be.

    Raises:
        UnfitCellError: If there is one.
    """
    wrong = pc.and_(to_texts(column).is_valid(), found.is_null())
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise UnfitCellError(name, row + 1, f"{reprlib.repr(column[row].as_py())}, not {wanted}")


def _values(column: pa.Array, words: bool) -> pa.LargeStringArray:
    texts = to_texts(column)
    return pc.if_else(to_numbers(column).is_valid(), _NUMBER, texts) if words else texts


def _to_seconds(moments: pa.TimestampArray) -> Array:
    return floats(moments.cast(pa.int64())) / 1e6
