"""Which rows a column of labels calls outliers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Labels", "find_outliers"]

_RULE = (
    "--label takes 1 or true for outliers and 0 or false for others, or -1 for outliers and 1 for "
    "others; for other labels say by --outlier VALUE which mean outliers"
)
_SHOWN = 5


@final
@dataclass(frozen=True)
class Labels:
    """A column of labels.

    Attributes:
        column: Its name.
        outliers: The values that mean outliers; none if the labels are 1 and 0 or their like.
    """

    column: str
    outliers: tuple[str, ...] = ()

    @classmethod
    def of(cls, column: str | None, outliers: Sequence[str] | None) -> Labels | None:
        """What --label and --outlier say, if anything.

        Raises:
            ValueError: If there are values, but no column.
        """
        if column is not None:
            return cls(column, tuple(outliers or ()))
        if outliers:
            raise ValueError("--outlier is a value of the column that --label names; give --label")
        return None

    def mark(self, cells: pa.Array, first: int) -> pa.DoubleArray:
        """1 where a cell means an outlier and 0 elsewhere.

        Args:
            cells: A part of the column.
            first: The number of its first row in the table.

        Raises:
            TableError: If a row has no label, or there is nothing that could be one.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from compactflow.tables import TableError

        try:
            text = pc.utf8_trim_whitespace(cells.cast(pa.large_string()))
        except pa.ArrowException as error:
            raise TableError(f"column {self.column!r} holds {cells.type}, no labels") from error
        empty = pc.index(pc.fill_null(pc.equal(text, ""), True), True).as_py()
        if empty >= 0:
            raise TableError(f"column {self.column!r}, row {first + empty} has no label")
        encoded, wanted = text.dictionary_encode(), {_plain(value) for value in self.outliers}
        meant = [float(_plain(word) in wanted) for word in encoded.dictionary.to_pylist()]
        return pa.array(np.array(meant)[encoded.indices.to_numpy()])

    def read(self, path: Path, batches: Iterable[pa.RecordBatch]) -> NDArray[np.bool_]:
        """Which rows of a training table are outliers, ``(N,)``.

        Args:
            path: The table, for messages.
            batches: The column, as numbers, or as it is if `outliers` are given.

        Raises:
            ValueError: If the labels cannot be understood, or one in `outliers` is not there.
        """
        import numpy as np
        import pyarrow as pa

        parts = [batch.column(0) for batch in batches]
        if not self.outliers:
            values = np.concatenate([np.empty(0), *(part.to_numpy() for part in parts)])
            return find_outliers(values, f"{path}: column {self.column!r}")
        column = pa.concat_arrays(parts) if parts else pa.array([], pa.string())
        marks = self.mark(column, 1).to_numpy() == 1
        found = column.cast(pa.large_string()).unique().to_pylist()
        known = {_plain(value) for value in found}
        missing = [value for value in self.outliers if _plain(value) not in known]
        if missing:
            shown = ", ".join(map(repr, found[:_SHOWN])) + ", ..." * (len(found) > _SHOWN)
            raise ValueError(
                f"{path}: column {self.column!r} has no --outlier {missing[0]!r}; it holds {shown}"
            )
        return np.asarray(marks)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say what labels are, if an error names their column among the unfit ones."""
        from compactflow.tables import TableError

        try:
            yield
        except TableError as error:
            hint = f"; {_RULE}" if f"column {self.column!r}" in str(error) else ""
            raise TableError(f"{error}{hint}") from error


def find_outliers(labels: NDArray[np.float64], name: str) -> NDArray[np.bool_]:
    """Which labels say outlier: 1 among 0 and 1, or -1 among -1 and 1, as in scikit-learn.

    Raises:
        ValueError: If there are others.
    """
    import numpy as np

    found = np.unique(labels)
    for outlier, inlier in ((1.0, 0.0), (-1.0, 1.0)):
        if np.isin(found, [outlier, inlier]).all():
            return labels == outlier
    shown = ", ".join(f"{value:g}" for value in found[:_SHOWN])
    raise ValueError(f"{name} holds {shown}; {_RULE}")


def _plain(value: str) -> str:
    """A value without the blanks around it; numbers that are equal are written alike."""
    value = value.strip()
    try:
        return repr(float(value))
    except ValueError:
        return value
