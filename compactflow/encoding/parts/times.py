"""Dates, with and without a time, and times of the day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.encoding.cells import floats, to_moments, to_times
from compactflow.encoding.parts.base import Part, check

__all__ = ["Moment", "TimeOfDay"]

Array = NDArray[np.float64]

_DAY = 86400.0
_PERIODS = {"day": _DAY, "week": 7 * _DAY, "year": 365.2425 * _DAY}


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


def _to_seconds(moments: pa.TimestampArray) -> Array:
    return floats(moments.cast(pa.int64())) / 1e6
