"""One pass over a table of any length: counts, a sample of its rows, and the furthest outliers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["Survey"]

Array = NDArray[np.float64]

_SAMPLED = 20_000  # rows kept, drawn at random
_FURTHEST = 6  # outliers kept


@final
@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a detector says of a table, in memory that does not grow with its length.

    Attributes:
        rows: How many rows the table has.
        outliers: How many of them are outliers.
        sample: Rows drawn at random, in the table's order, ``(S, D)``; all if there are few.
        furthest: The furthest outliers, the furthest first, ``(K, D)``.
        places: Where they are in the table, counted from 0, ``(K,)``.
        cells: The furthest outliers as they came, if there are tables.

    Examples:
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = OneClassFlow(max_steps=2, members=1, random_state=0).fit(X)
        >>> survey = Survey.of(detector, [X[:100], X[100:] + 50])
        >>> survey.rows, survey.outliers >= 100, len(survey.furthest)
        (200, True, 6)
    """

    rows: int
    outliers: int
    sample: Array
    furthest: Array
    places: NDArray[np.int64]
    cells: pa.Table | None

    @classmethod
    def of(
        cls,
        detector: OneClassFlow,
        batches: Iterable[Any],
        *,
        sampled: int = _SAMPLED,
        furthest: int = _FURTHEST,
    ) -> Survey:
        """Score a table.

        Args:
            detector: A fitted detector.
            batches: The table's rows: ``(N, D)`` each, with the detector's features in their
                order, or if it has an encoder, tables as that gives them: see
                `compactflow.encoding.encoder.TableEncoder.prepare`.
            sampled: Rows to keep.
            furthest: Outliers to keep.
        """
        check_is_fitted(detector)
        rng = np.random.default_rng(0)
        sample, worst = _Lowest(sampled), _Lowest(furthest)
        rows = outliers = 0
        cells: pa.Table | None = None
        encoder = detector.encoder_
        for batch in batches:
            if not len(batch):
                continue
            X = batch if encoder is None else encoder.features(encoder.codes(batch))
            distance = detector.ensemble_.signed_distance(X)
            outlier = distance > 0
            places = np.arange(rows, rows + len(X))
            sample.add(rng.random(len(X)), places, X)
            kept = worst.add(-distance[outlier], places[outlier], X[outlier])
            if encoder is not None and outlier.any():
                found = batch.filter(outlier)
                cells = pa.concat_tables([found] if cells is None else [cells, found]).take(kept)
            rows += len(X)
            outliers += int(outlier.sum())
        return cls(
            rows=rows,
            outliers=outliers,
            sample=sample.rows[np.argsort(sample.places)],
            furthest=worst.rows,
            places=worst.places,
            cells=cells,
        )


class _Lowest:
    """The rows with the lowest keys so far, in the order of their keys."""

    def __init__(self, size: int) -> None:
        self.keys = np.empty(0)
        self.places = np.empty(0, dtype=np.int64)
        self.rows: Array = np.empty((0, 0))
        self._size = size

    def add(self, keys: Array, places: NDArray[np.int64], rows: Array) -> NDArray[np.int64]:
        """Add rows; the indices of those that stay, in the old ones followed by the new."""
        if len(self.keys):
            keys = np.concatenate([self.keys, keys])
            places = np.concatenate([self.places, places])
            rows = np.concatenate([self.rows, rows])
        kept = np.argsort(keys, kind="stable")[: self._size]
        self.keys, self.places, self.rows = keys[kept], places[kept], rows[kept]
        return kept
