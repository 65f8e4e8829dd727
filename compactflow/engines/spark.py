"""Tasks of Spark, on the cores of one machine or of many."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, final

import pyarrow as pa

from compactflow.engines.base import Engine
from compactflow.scoring import ArrowScorer
from compactflow.workers import Result, Shared, Task

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Spark", "score"]


@final
class Spark(Engine):
    """Creates the engine that runs tasks of Spark, such as one for each row group to score.

    It takes the session that there is, or starts one as Spark's own settings say. For data frames
    see `score`.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> OneClassFlow().fit(X, engine=Spark())  # doctest: +SKIP
    """

    def run(
        self,
        function: Callable[[Shared, Task], Result],
        shared: Shared,
        tasks: Sequence[Task],
    ) -> Iterable[Result]:
        """See `Workers.run`."""
        try:
            from pyspark.sql import SparkSession
        except ImportError as error:
            raise ImportError(
                "the engine 'spark' needs Spark, which is not installed: "
                "pip install 'compactflow[spark]'"
            ) from error
        context = SparkSession.builder.appName("compactflow").getOrCreate().sparkContext
        sent = context.broadcast(shared)
        spread = context.parallelize(tasks, max(1, len(tasks)))
        found: list[Result] = spread.map(lambda task: function(sent.value, task)).collect()
        return found


def score(frame: DataFrame, model: ArrowScorer | str | os.PathLike[str] | bytes) -> DataFrame:
    """Add scores to a data frame of Spark, lazily, by `mapInArrow`.

    Each partition is scored by one task, which Spark runs again if its worker dies.

    Args:
        frame: The rows, with the columns that the model was fitted on.
        model: A model file, its content, or a scorer with options of its own.

    Returns:
        The frame with the scorer's columns behind its own.

    Raises:
        FileNotFoundError: If there is no such model file.
    """
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import StructField, StructType

    scorer = model if isinstance(model, ArrowScorer) else ArrowScorer(model)
    added = [StructField(name, from_arrow_type(type_)) for name, type_ in scorer.types.items()]
    kept = [field for field in frame.schema.fields if scorer.keeps(field.name)]

    def scored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return map(scorer, batches)

    return frame.mapInArrow(scored, StructType([*kept, *added]))
