"""Values of a list, such as words and codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from compactflow.encoding.cells import floats, to_numbers, to_texts
from compactflow.encoding.parts.base import Part

__all__ = ["Category"]

Array = NDArray[np.float64]

_KNOWN_LEVELS = 4096  # values of a category that are told apart
_COMMON = 0.1  # the share of rows from which a value has a feature of its own,
_COMMON_ROWS = 5  # if it comes so often at least
_UNSEEN, _NUMBER = "(unseen)", "(number)"


@final
@dataclass(frozen=True, kw_only=True)
class Category(Part):
    """One value of a list.

    The features are one for each common value, 1 where it is that, and the rarity: 0 for a common
    value, and else the logarithm of how many times rarer than the rarest common one it is. The
    counts are shrunken by a half, so that a value which training did not have is the rarest.

    Of a value that n rows of training have, each of these knows n - 1 others, and a new row n.
    What compares column by column would find n nowhere in training, so every second row of a value
    counts itself.

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
        seen = counts[places] - (own & (_turns(places) % 2 == 0))
        rarity = np.log((least + 0.5) / (seen.clip(min=0) + 0.5))
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
        values = f"{len(self.levels)} value{'s' * (len(self.levels) != 1)}"
        return f"{what}: {values}" + (f", {rare} of them rare" * (rare > 0))


def _turns(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows before each row have the same value, ``(N,)``."""
    order = places.argsort(kind="stable")
    turns = np.empty_like(places)
    turns[order] = np.arange(len(places)) - np.searchsorted(places[order], places[order])
    return turns


def _values(column: pa.Array, words: bool) -> pa.LargeStringArray:
    texts = to_texts(column)
    return pc.if_else(to_numbers(column).is_valid(), _NUMBER, texts) if words else texts
