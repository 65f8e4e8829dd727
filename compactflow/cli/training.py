"""Tables that commands train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compactflow.cli.labels import Labels

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from compactflow.tables import Dialect

__all__ = ["Training", "read_training"]


class Training(NamedTuple):
    """A table to train on.

    Attributes:
        table: The columns of the features: of numbers, if it has nothing else and no cells are
            wanted.
        outlier: Which rows a column of labels calls outliers, ``(N,)``.
        weights: How much each row counts, ``(N,)``, if a column says so.
    """

    table: pa.Table
    outlier: NDArray[np.bool_]
    weights: NDArray[np.float64] | None


def read_training(
    path: Path,
    drop: Sequence[str],
    labels: Labels | None,
    weight: str | None,
    dialect: Dialect,
    *,
    cells: bool,
    most: int,
    seed: int,
) -> Training:
    """Read a training table; of more than `most` rows so many are drawn.

    Raises:
        ValueError: As `compactflow.tables.read_table`, or if labels or weights are none.
        OSError: If the table cannot be read.
    """
    import numpy as np

    from compactflow import tables
    from compactflow.detector.weights import check_weights
    from compactflow.encoding.inference import FEWEST_ROWS

    own = [*([] if labels is None else [labels.column]), *([] if weight is None else [weight])]
    how: dict[str, Any] = {
        "without": list(dict.fromkeys([*drop, *own])),
        "dialect": dialect,
        "most": most,
        "seed": seed,
    }
    try:
        table = tables.read_table(path, **how)
        if cells:
            table = tables.read_cells(path, **how)
    except tables.CellError:
        table = tables.read_cells(path, **how)
        if len(table) < FEWEST_ROWS:  # too few to say what the column is
            raise

    def drawn(numbers: Sequence[str], words: Sequence[str] = ()) -> list[pa.RecordBatch]:
        batches = tables.read_batches(path, numbers, keep=words, dialect=dialect)
        return tables.sample(batches, most, seed)[0]  # the same rows

    if len(table) < 2:
        rows = f"{len(table)} sample{'s' * (len(table) != 1)}"
        raise ValueError(f"{path} has {rows}, and training takes a minimum of 2 rows, better 100s")
    outlier, weights = np.zeros(len(table), dtype=bool), None
    if labels is not None:
        with labels.explaining():
            column = [labels.column]
            outlier = labels.read(path, drawn([], column) if labels.outliers else drawn(column))
    if weight is not None:
        parts = [np.empty(0), *(batch.column(0).to_numpy() for batch in drawn([weight]))]
        name = f"{path}: the column {weight!r}"
        weights = check_weights(np.concatenate(parts), len(table), name)
    return Training(table, outlier, weights)
