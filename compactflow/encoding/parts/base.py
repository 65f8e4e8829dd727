"""What a column is taken for: the interface, and the error of a cell that is not that."""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compactflow.encoding.cells import to_texts

__all__ = ["Part", "UnfitCellError", "check"]

Array = NDArray[np.float64]


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
                nothing in its own features, or half of the rows do, so that they look as new rows
                would.
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
