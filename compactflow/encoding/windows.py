"""Time series as tables: each row with what came before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Integral
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compactflow.encoding.cells import (
    FORMATS,
    are_durations,
    floats,
    is_text,
    to_durations,
    to_moments,
    to_numbers,
    to_texts,
)
from compactflow.encoding.frames import as_arrow, as_frame, library_of, whole

__all__ = ["Windows", "windows"]

Array = NDArray[np.float64]


_BLOCKS = 40  # of consecutive rows in a table of training, each held out as a whole
_FEWEST = 16  # so that some are
_LEAST = 2  # windows in a block, where there are so many rows


@final
@dataclass(frozen=True, kw_only=True)
class Windows:
    """What is put beside each row of a time series: see `windows`.

    Attributes:
        size: The rows of a window, at least 2.
        by: The column that tells whose rows they are.
        time: The column by which rows are in order; by default they come in order.
        columns: The columns of a table that it takes; all, if there are none.
        given: Columns of a context, which are no features and so have no course. They stay as they
            are, `by` and `time` too.

    Raises:
        ValueError: If `size` is below 2.
    """

    size: int
    by: str | None = None
    time: str | None = None
    columns: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.size, Integral) or self.size < 2:
            raise ValueError(
                f"size is the number of rows of a window, at least 2, got {self.size!r}"
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Windows:
        """From keyword arguments of `windows`.

        Raises:
            ValueError: If they are others.
        """
        unknown = given.keys() - {"size", "by", "time"}
        if unknown or "size" not in given:
            raise ValueError(
                "windows takes the arguments of compactflow.windows, which are size, by and time, "
                f"got {sorted(given)}"
            )
        return cls(**given)

    def over(self, table: pa.Table, left_out: Mapping[str, str]) -> Windows:
        """The same, that takes the columns of a table but for those left out."""
        names = [name for name in table.column_names if name not in left_out]
        return replace(self, columns=tuple(names))

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows of an Arrow table with what came before them.

        Raises:
            ValueError: If a column is missing, or the times cannot be understood.
        """
        known = table.column_names
        for argument, name in (("by", self.by), ("time", self.time)):
            if name is not None and name not in known:
                raise ValueError(f"{argument}={name!r} is no column of the table")
        missing = [name for name in self.columns if name not in known]
        if missing:
            raise ValueError(f"the table has no columns {', '.join(map(repr, missing))}")
        before = self._before(table)
        columns: dict[str, Any] = {}
        for name in self.columns or known:
            if name in self.given:
                columns[name] = whole(table, name)
            if name in (self.by, self.time, *self.given):
                continue
            column = columns[name] = whole(table, name)
            numbers = _numbers(column)
            if numbers is not None:
                columns |= _course(name, numbers, before)
        return pa.table(columns)

    def describe(self, said: Mapping[str, str]) -> dict[str, str]:
        """What the columns of a table were taken for, from what was said of all made of them."""
        taken = {name: text for name, text in said.items() if name in self.columns}
        made = {name for name in taken if f"{name} change" in said}
        taken |= {name: f"{taken[name]}, with a window of {self.size} rows" for name in made}
        roles = {self.time: "the order of rows", self.by: "whose rows they are"}
        for name, role in roles.items():
            if name is not None:
                taken[name] = f"{role}; {taken[name]}" if name in self.given else role
        return taken | {name: text for name, text in said.items() if text.startswith("left out")}

    def blocks(self, table: pa.Table) -> NDArray[np.int64]:
        """A number for each row, ``(N,)``, that rows near each other in a series share."""
        order, place = self._places(table)
        least = min(_LEAST * self.size, len(order) // _FEWEST)
        length = max(least, -(-len(order) // _BLOCKS))
        numbers = np.empty(len(order), dtype=np.int64)
        numbers[order] = np.cumsum(place % length == 0) - 1
        return numbers

    def order(self, table: pa.Table) -> NDArray[np.int64]:
        """The rows of all series in the order of time, ``(N,)``."""
        if self.time is None:
            return np.arange(len(table))
        return np.argsort(_times(self.time, whole(table, self.time)), kind="stable")

    def apart(self, table: pa.Table) -> NDArray[np.int64]:
        """Rows that share no window: every size-th of each series, in the order of time."""
        rows, place = self._places(table)
        chosen = np.empty(len(rows), dtype=bool)
        chosen[rows] = place % self.size == self.size - 1
        order = self.order(table)
        return order[chosen[order]]

    def _places(self, table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows series by series, in order, ``(N,)``, and the place of each in its series."""
        series, order = self._in_order(table)
        count = np.arange(len(order))
        starts = np.r_[True, series[order[1:]] != series[order[:-1]]]
        return order, count - np.maximum.accumulate(np.where(starts, count, 0))

    def _in_order(self, table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The number of each row's series, ``(N,)``, and the rows series by series, in order."""
        series = np.zeros(len(table), dtype=np.int64)
        if self.by is not None:
            texts = to_texts(whole(table, self.by)).fill_null("").to_pylist()
            series = np.unique(np.array(texts), return_inverse=True)[1].ravel()
        if self.time is None:
            return series, np.argsort(series, kind="stable")
        return series, np.lexsort((_times(self.time, whole(table, self.time)), series))

    def _before(self, table: pa.Table) -> NDArray[np.int64]:
        """Where the rows 0, 1, ... before each row are, ``(size, N)``; N where there is none."""
        rows = len(table)
        series, order = self._in_order(table)
        previous = np.full(rows + 1, rows)
        follows = series[order[1:]] == series[order[:-1]]
        previous[order[1:][follows]] = order[:-1][follows]
        before = [np.arange(rows)]
        for _ in range(self.size - 1):
            before.append(previous[before[-1]])
        return np.array(before)


def windows(X: Any, size: int, *, by: str | None = None, time: str | None = None) -> Any:  # noqa: ANN401
    """Put beside each row what came before it, so that a detector sees the course of things.

    Of each column of numbers there are the values 1, 2, 4, ... rows before, fewer than `size`; the
    change from the row before; and mean and standard deviation of the `size` rows that end with
    the row. Where a series has not begun there is a gap. All other columns stay as they are: a
    date's cycles are features of it anyway.

    Each row of the result belongs to the row of `X` in its place, and so does its score.

    Args:
        X: Rows at even steps of time: a table of pandas, polars or Arrow.
        size: The rows of a window, at least 2.
        by: The column that tells whose rows they are, such as a machine: each has a series of its
            own. It is left out of the result.
        time: The column by which rows are in order, of numbers or dates; by default they come in
            order. It is left out of the result.

    Returns:
        A table of the same kind, with as many rows.

    Raises:
        TypeError: If `X` is no table.
        ValueError: If `size` is below 2, if there is no such column, or if the times cannot be
            understood.

    Examples:
        >>> import pyarrow as pa
        >>> table = pa.table({"pump": ["a", "b", "a", "a"], "heat": [1.0, 9.0, 3.0, 7.0]})
        >>> seen = windows(table, 2, by="pump")
        >>> seen.column_names
        ['heat', 'heat 1 before', 'heat change', 'heat mean of 2', 'heat spread of 2']
        >>> seen["heat change"].to_pylist()
        [nan, nan, 2.0, 4.0]
    """
    library = library_of(X)
    if library is None:
        raise TypeError(
            "windows takes a table of pandas, polars or Arrow, whose columns have names"
        )
    return as_frame(Windows(size=size, by=by, time=time)(as_arrow(X)), library)


def _times(name: str, column: pa.Array) -> NDArray[np.int64]:
    """The rank of each row's time, ``(N,)``."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    text = is_text(column.type)
    known = to_texts(column) if text else column
    found: pa.Array | None = None
    if not known.null_count:
        numbers = to_numbers(column)
        if not numbers.null_count:
            found = numbers
        elif not text:
            found = column
        else:
            dates = (to_moments(column, form) for form in FORMATS)
            read = chain([to_durations(column)], dates)
            found = next((values for values in read if not values.null_count), None)
    if found is None:
        row = 1 + (pc.index(known.is_null(), True).as_py() if known.null_count else 0)
        cell = column[row - 1].as_py()
        raise ValueError(
            f"time={name!r} must be numbers or dates of one spelling in every row, by which to "
            f"order rows, got {cell!r} in row {row}"
        )
    return np.asarray(pc.rank(found, tiebreaker="dense")).astype(np.int64)


def _numbers(column: pa.Array) -> Array | None:
    """The values of a column of numbers, or of durations, ``(N,)``."""
    numbers = to_numbers(column)
    if is_text(column.type) and are_durations(to_texts(column).drop_null()):
        numbers = to_durations(column)
    known = to_texts(column).null_count if is_text(column.type) else column.null_count
    kind = pa.types.is_boolean(column.type) or numbers.null_count == len(numbers)
    return None if kind or numbers.null_count > known else floats(numbers)


def _course(name: str, numbers: Array, before: NDArray[np.int64]) -> dict[str, Array]:
    size = len(before)
    values = np.append(numbers, np.nan)[before]
    lags = [2**k for k in range(size.bit_length()) if 2**k < size]
    return {
        **{f"{name} {lag} before": values[lag] for lag in lags},
        f"{name} change": values[0] - values[1],
        f"{name} mean of {size}": values.mean(axis=0),
        f"{name} spread of {size}": values.std(axis=0),
    }
