"""The interface of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from compactflow.scoring import ArrowScorer

__all__ = ["Engine"]


class Engine(ABC):
    """Scores Parquet files somewhere else, by a scorer that it sends there.

    The scorer can be pickled, takes an Arrow table or batch of any number of rows, and gives it
    back with new columns. So an engine has three things to see to: that each part of the input
    reaches a scorer, that a part whose worker died is scored again, and that the parts come back
    in their order.
    """

    @abstractmethod
    def score(self, scorer: ArrowScorer, source: Path, target: Path) -> None:
        """Score all rows of Parquet files.

        Args:
            scorer: What to call on each part.
            source: A Parquet file, or a folder of them.
            target: The folder to write Parquet files in, empty or not there yet. Read in the order
                of their names, they have the rows of `source` in its order.
        """
