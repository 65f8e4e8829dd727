"""An engine that scores each row group of Parquet files in a task of Dask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

from dask import base
from dask.delayed import delayed

from compactflow.engines.base import Engine
from compactflow.engines.parts import Part, split
from compactflow.scoring import ArrowScorer

__all__ = ["Dask"]

_compute: Callable[..., object] = base.compute  # which has no types of its own


@final
class Dask(Engine):
    """Creates the engine: the scheduler is that of the open client, or of this machine."""

    def score(self, scorer: ArrowScorer, source: Path, target: Path) -> None:
        """See `Engine.score`."""
        sent = delayed(scorer)  # once to each worker, and not once for each task
        score = delayed(Part.score)
        _compute(*(score(part, sent) for part in split(source, target)))
