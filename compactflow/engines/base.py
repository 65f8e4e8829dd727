"""The interface of an engine."""

from __future__ import annotations

from pathlib import Path

from compactflow.engines.parts import Part, split
from compactflow.scoring import ArrowScorer
from compactflow.workers import Workers

__all__ = ["Engine"]


class Engine(Workers):
    """Runs tasks somewhere else: parts of a fit, of a benchmark, or of files to score.

    It has one method to write, `run`: see `compactflow.workers.Workers`. An engine that has
    a better way to files than a task for each row group overrides `score` too.

    Examples:
        >>> from concurrent.futures import ProcessPoolExecutor
        >>> class Processes(Engine):
        ...     def run(self, function, shared, tasks):
        ...         with ProcessPoolExecutor() as pool:
        ...             yield from pool.map(function, [shared] * len(tasks), tasks)
        >>> list(Processes().run(pow, 2, []))
        []
    """

    def score(self, scorer: ArrowScorer, source: Path, target: Path) -> None:
        """Score all rows of Parquet files, which all workers reach by the same paths.

        Args:
            scorer: What to call on each part. It can be pickled, takes an Arrow table of any
                number of rows, and gives it back with new columns.
            source: A Parquet file, or a folder of them.
            target: The folder to write Parquet files in, not there yet. Read in the order
                of their names, they have the rows of `source` in its order.
        """
        for _ in self.run(_score, scorer, split(source, target)):
            pass


def _score(scorer: ArrowScorer, part: Part) -> None:
    part.score(scorer)
