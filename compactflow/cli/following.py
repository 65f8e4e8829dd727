"""Scores of a drifting series by a boundary that follows its normal rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from compactflow.cli.labels import find_outliers

if TYPE_CHECKING:
    import pyarrow as pa

    from compactflow.cli.inputs import Rows
    from compactflow.scoring import ArrowScorer

__all__ = ["follow_rows"]


def follow_rows(
    scorer: ArrowScorer, batches: Iterable[Rows], last: int, labelled: str | None
) -> Iterator[tuple[Rows, Sequence[pa.Array]]]:
    """Judge rows one after the other, each by the boundary that those before it place.

    Args:
        scorer: Of a model that keeps scores of held-out rows.
        batches: The rows of the table.
        last: How many normal rows place the boundary.
        labelled: What errors call the column of labels, if there is one.

    Returns:
        The rows, and of each batch the signed distances, minus these, and which are outliers.

    Raises:
        ValueError: If the model has no boundary that could follow, or labels are none.
    """
    import numpy as np
    import pyarrow as pa

    from compactflow.scoring.models import Saved

    if not isinstance(scorer.model, Saved):
        raise ValueError("--follow takes a model that 'fit' wrote, and not an exported one")
    try:
        following = scorer.model.detector.follow(last)
    except ValueError as error:
        raise ValueError(f"--follow {last}: {error}") from error
    every = list(batches)  # as it takes all labels to tell what one means
    outliers = [np.zeros(len(rows.X), bool) for rows in every]
    if labelled is not None:
        known = [rows.labels for rows in every if rows.labels is not None]
        labels = np.concatenate([np.empty(0), *known])
        ends = np.cumsum([len(rows.X) for rows in every])[:-1]
        outliers = np.split(find_outliers(labels, labelled), ends)
    for rows, marks in zip(every, outliers, strict=True):
        distance = np.array(scorer.score(rows.X)[0])
        for i in rows.sequence:
            distance[i] = following.add_distances(distance[[i]], marks[[i]])[0]
        yield rows, [pa.array(distance), pa.array(-distance), pa.array(distance > 0)]
