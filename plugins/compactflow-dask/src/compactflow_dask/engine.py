"""An engine that scores each row group of Parquet files in a task of Dask."""

from __future__ import annotations

from pathlib import Path
from typing import final

import dask

from compactflow.engines.base import Engine
from compactflow.engines.parts import Part, split
from compactflow.scoring import ArrowScorer

__all__ = ["Dask"]


@final
class Dask(Engine):
    """Creates the engine: the scheduler is that of the open client, or of this machine."""

    def score(self, scorer: ArrowScorer, source: Path, target: Path) -> None:
        """See `Engine.score`."""
        sent = dask.delayed(scorer)  # once to each worker, and not once for each task
        score = dask.delayed(Part.score)
        dask.compute(*(score(part, sent) for part in split(source, target)))
