"""Numbers, true and false, and durations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.encoding.cells import floats, to_durations, to_hexadecimals, to_numbers
from compactflow.encoding.parts.base import Part, check

__all__ = ["Number"]

Array = NDArray[np.float64]

_LARGEST = 2.0**62  # beyond which a whole number is none of 64 bits, up to rounding
# How cells of a form are read, if otherwise than as plain numbers, and what they are.
_READ = {
    "duration": (to_durations, "a duration, such as '1 days 02:03:04'"),
    "hexadecimal": (to_hexadecimals, "a hexadecimal number, such as '0x1f'"),
}


@final
@dataclass(frozen=True, kw_only=True)
class Number(Part):
    """A number, true or false, or a duration, in seconds.

    Attributes:
        form: ``"number"``, ``"integer"``, ``"hexadecimal"``, ``"boolean"`` or ``"duration"``.
        words: Whether other cells are words, and a gap here.
    """

    form: str
    words: bool = False

    kind: ClassVar[str] = "number"

    def codes(self, column: pa.Array) -> Array:
        """The codes of cells ``(N,)``; see `Part.codes`."""
        read, wanted = _READ.get(self.form, (to_numbers, "a number; --categorical takes words"))
        numbers = read(column)
        if not self.words:
            check(self.name, column, numbers, wanted)
        codes = floats(numbers)
        check(self.name, column, pa.array(~np.isinf(codes), mask=np.isinf(codes)), "finite")
        return codes

    @property
    def whole(self) -> bool:
        """Whether there is no code between two others."""
        return self.form in ("integer", "hexadecimal", "boolean")

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
        whole = codes * 1e6 if self.form == "duration" else codes
        if self.form == "number" or (np.abs(whole[~gaps]) > _LARGEST).any():
            return pa.array(codes, mask=gaps)
        numbers = pa.array(np.where(gaps, 0, whole).round().astype(np.int64), mask=gaps)
        if self.form == "hexadecimal":
            return pa.array([None if n is None else f"{n:#x}" for n in numbers.to_pylist()])
        return numbers if self.form == "integer" else numbers.cast(pa.duration("us"))

    def describe(self) -> str:
        """What the column was taken for, in words."""
        return self.form
