"""Warnings of columns that are no measurements, and of rows unlike the training rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from compactflow.text import printable

__all__ = [
    "ENOUGH_ROWS",
    "OutOfRangeWarning",
    "Ranges",
    "SuspectColumnWarning",
    "Watch",
    "find_suspects",
    "screen",
]

Array = NDArray[np.float64]

ENOUGH_ROWS = 10
"""Rows from which on anything is said of a column."""

_FEWEST_VALUES = 10  # that a column must have for one to stand alone among them
# How far from the nearest other value one stands alone, in ranges of all others: any value, a
# small one that people take for a missing one, and a large one.
_GAP, _GAP_OF_SMALL_CODE, _GAP_OF_CODE = 5.0, 2.0, 0.5
_CODES = 3  # beside each other at most
_CLASSES = 20  # values of a label at most

_LABEL = re.compile(
    r"(is|has)?(y|label|target|class|groundtruth|truth|outlier|inlier|anomal(y|ous|ies)|novelty"
    r"|fraud(ulent)?|attack|intrusion|malicious|(ab)?normal)s?(label|flag|class)?[0-9]*"
)
_MANY_CLASSES = re.compile(r"(label|target|groundtruth)s?[0-9]*")


class SuspectColumnWarning(UserWarning):
    """A training column looks like an identifier, a label, or has a code among its values."""


class OutOfRangeWarning(UserWarning):
    """Many rows lie outside the range that a column had in training."""


def screen(X: Array, names: Sequence[str]) -> None:
    """Warn of suspect columns among training rows.

    Args:
        X: Rows, ``(N, D)``, in the order in which they came.
        names: Of the columns.

    Warns:
        SuspectColumnWarning: If there are any, naming them, with why.
    """
    suspects = dict(find_suspects(X, names))
    if suspects:
        found = ", ".join(f"{printable(name)!r} {why}" for name, why in suspects.items())
        rows = ", or the rows with the code" if "a code for" in "".join(suspects.values()) else ""
        warnings.warn(
            f"some columns look like no measurements: {found}; if so, leave them out "
            f"(--drop){rows}",
            SuspectColumnWarning,
            stacklevel=3,
        )


def find_suspects(X: Array, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The names of suspect columns, with why each is: see `screen`."""
    if len(X) < ENOUGH_ROWS or X.shape[1] < 2:
        return
    for name, column in zip(names, X.T, strict=True):
        column = column[~np.isnan(column)]
        if len(column) < ENOUGH_ROWS:
            continue
        values, counts = np.unique(column, return_counts=True)
        if _is_identifier(column, values):
            yield name, "numbers the rows (an id, a time or a rank)"
        elif _is_label(name, values):
            yield name, "is named like a label and has the values of one"
        else:
            codes = _codes(values, counts)
            if codes:
                shown = " and ".join(f"{code:g}" for code in codes)
                yield name, f"repeats {shown} far from its other values (a code for a missing one)"


def _is_identifier(column: Array, values: Array) -> bool:
    """Whether values are in order, or all different though too near each other for chance."""
    n, whole = len(column), bool((values == np.floor(values)).all())
    steps = np.diff(column)
    if len(values) >= 0.9 * n and ((steps >= 0).all() or (steps <= 0).all()):
        even = np.ptp(steps) <= 1e-6 * np.abs(steps).max()
        return bool(whole or even)
    # Of n numbers drawn among m, about n² / 2m pairs are equal; none is, where ten would be.
    return bool(whole and len(values) == n and n * n > 20 * np.ptp(values))


def _is_label(name: str, values: Array) -> bool:
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    if _LABEL.fullmatch(bare) and np.isin(values, (-1, 0, 1)).all() and len(values) < 3:
        return True
    whole = len(values) <= _CLASSES and bool((values == np.floor(values)).all())
    return whole and bool(_MANY_CLASSES.fullmatch(bare))


def _codes(values: Array, counts: NDArray[np.int64]) -> list[float]:
    """Values at either end that repeat and stand alone, up to a few beside each other."""
    repeated = counts > 1
    repeated[values == 0] &= (
        2 * counts[values == 0] < counts.sum()
    )  # most may be zero, as in counts
    low = _count_codes(values, repeated)
    high = _count_codes(values[low:][::-1], repeated[low:][::-1])
    return [*values[:low].tolist(), *values[len(values) - high :].tolist()]


def _count_codes(values: Array, repeated: NDArray[np.bool_]) -> int:
    """How many values at the beginning, of values that rise or fall, are codes."""
    for k in range(_CODES, 0, -1):
        if len(values) > _FEWEST_VALUES and repeated[:k].all():
            gap, inner = abs(values[k] - values[k - 1]), np.ptp(values[k:-k])
            if gap > max(map(_needed, values[:k])) * inner:
                return k
    return 0


def _needed(value: float) -> float:
    digits = f"{abs(value):g}"
    if set(digits) <= {"9", "."} or (value < 0 and digits.rstrip("0") in ("1", "2")):
        return _GAP_OF_CODE if abs(value) > 9 else _GAP_OF_SMALL_CODE
    return _GAP


@final
@dataclass(frozen=True)
class Ranges:
    """The range of each column in training.

    Attributes:
        low: ``(D,)``.
        high: ``(D,)``.

    Examples:
        >>> import numpy as np
        >>> Ranges.of(np.array([[0.0, 5.0], [1.0, 3.0]]))
        Ranges(low=array([0., 3.]), high=array([1., 5.]))
    """

    low: Array
    high: Array

    @classmethod
    def of(cls, X: Array) -> Ranges:
        """Of rows ``(N, D)``, in which a gap is NaN."""
        return cls(np.nanmin(X, axis=0), np.nanmax(X, axis=0))

    def watch(self, names: Sequence[str]) -> Watch:
        """A count, still of no rows, of those outside."""
        return Watch(self, list(names))


@final
class Watch:
    """Counts rows outside the ranges of training, batch by batch.

    Args:
        ranges: Of training.
        names: Of the columns.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> watch = Ranges.of(X).watch(["speed", "heat"])
        >>> watch.add(X).warn()  # all is well
    """

    def __init__(self, ranges: Ranges, names: list[str]) -> None:
        self._ranges = ranges
        self._names = names
        self._rows = 0
        self._outside = np.zeros(len(names), dtype=np.int64)
        # A constant that was computed in another way is not outside.
        self._slack = 1e-9 * np.maximum(np.abs(ranges.low), np.abs(ranges.high))

    def add(self, X: Array) -> Watch:
        """Count rows ``(N, D)``."""
        self._rows += len(X)
        below = self._ranges.low - self._slack > X
        above = self._ranges.high + self._slack < X
        self._outside += (below | above).sum(axis=0)
        return self

    def warn(self) -> None:
        """Say which columns are outside in bulk.

        Warns:
            OutOfRangeWarning: If at least ten rows, and more than half, are outside in a column.
        """
        most = (2 * self._outside > self._rows) & (self._outside >= ENOUGH_ROWS)
        if not most.any():
            return
        low, high = self._ranges.low, self._ranges.high
        found = ", ".join(
            f"{printable(self._names[j])!r} ({low[j]:g} to {high[j]:g} in training, "
            f"{self._outside[j]} of {self._rows} rows outside)"
            for j in np.flatnonzero(most)
        )
        warnings.warn(
            f"most rows are outside the range that a column had in training: {found}; a number of "
            "the row, a time or other units make all of them outliers",
            OutOfRangeWarning,
            stacklevel=4,
        )
