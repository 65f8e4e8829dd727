"""The sizes that are timed."""

from __future__ import annotations

from typing import NamedTuple, final

__all__ = ["ALL", "BASE", "SWEEP", "Size"]


@final
class Size(NamedTuple):
    """A network and a batch: dimension D, rows N and the number of coupling blocks."""

    dim: int
    batch: int
    blocks: int = 12

    def __str__(self) -> str:
        return f"D={self.dim} N={self.batch} blocks={self.blocks}"


BASE = Size(128, 512)
#: One property changed at a time, for the plots; the two networks of equal make alone.
SWEEP = [
    *(Size(dim, 256) for dim in (2, 32, 128, 512)),
    Size(128, 4096),
    *(Size(128, 512, blocks) for blocks in (4, 24)),
]
ALL = [BASE, *SWEEP, *(Size(dim, 4096) for dim in (2, 32, 512))]
