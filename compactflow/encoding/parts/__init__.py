"""The kinds of column: from cells to codes, from codes to features, and back.

A code is one number for a cell: a number is its own, a category has its place in a list, a moment
the seconds since 1970; a gap is NaN. Features are what a flow sees of a code.
"""

from compactflow.encoding.parts.base import Part, UnfitCellError
from compactflow.encoding.parts.category import Category
from compactflow.encoding.parts.number import Number
from compactflow.encoding.parts.times import Moment, TimeOfDay

__all__ = ["PARTS", "Category", "Moment", "Number", "Part", "TimeOfDay", "UnfitCellError"]

PARTS: dict[str, type[Part]] = {part.kind: part for part in (Number, Category, Moment, TimeOfDay)}
