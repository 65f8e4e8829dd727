"""Rows as they come, as the numbers a detector works on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import _num_samples, validate_data

from compactflow.columns import choose, names_of, select
from compactflow.detector.screening import ENOUGH_ROWS, Ranges, screen
from compactflow.detector.weights import check_weights
from compactflow.encoding.encoder import TableEncoder
from compactflow.encoding.frames import as_arrow, library_of, naming_cells
from compactflow.encoding.inference import FEWEST_ROWS, is_plain
from compactflow.encoding.parts import UnfitCellError
from compactflow.encoding.windows import Windows

__all__ = ["take", "take_training", "titles_of"]

Array = NDArray[np.float64]

_LARGEST = 1e100  # the square of what is larger would overflow somewhere


@final
class Taken(NamedTuple):
    """What `fit` was given, as numbers.

    Attributes:
        data: The rows to train on, ``(N, D)``, with NaN in gaps.
        encoder: What makes numbers of a table's columns; ``None`` if they are numbers.
        ranges: The range of each column.
        outliers: Known outliers, ``(K, D)``, if there are any.
        weights: How much each row of `data` counts, ``(N,)``, if a weight was given.
        groups: The number of each row's group, ``(N,)``, if there are groups.

    Examples:
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(60, 2))
        >>> taken = take_training(OneClassFlow(), X, None, np.repeat([1.0, 0.0], 30), None)
        >>> taken.data.shape, taken.groups
        ((30, 2), None)
    """

    data: Array
    encoder: TableEncoder | None
    ranges: Ranges
    outliers: Array | None
    weights: Array | None
    groups: NDArray[np.int64] | None

    @property
    def more(self) -> dict[str, Any]:
        """What is known of the rows beside their features."""
        return {
            "outliers": self.outliers,
            "weights": self.weights,
            "groups": self.groups,
            "categories": self.encoder.categories if self.encoder else (),
        }


def take_training(
    detector: Any,  # noqa: ANN401
    X: ArrayLike,
    y: ArrayLike | None,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
) -> Taken:
    """Take the arguments of `fit`; the detector learns the number and names of its features.

    Raises:
        ValueError: If one is unfit; the message says why.
    """
    if detector.windows is None:
        given = Given.of(X, y, sample_weight, groups)
        with given.counting():
            data, encoder, ranges = _take_inliers(detector, given.X)
        outliers = _take_outliers(detector, given.outliers, encoder)
        return Taken(data, encoder, ranges, outliers, given.weights, given.groups)
    course = replace(Windows.of(detector.windows), given=tuple(_names(detector.context)))
    X, library = select(X), library_of(X)
    if library is None or len(X) < FEWEST_ROWS:  # type: ignore[arg-type]
        raise ValueError(
            "windows are of the columns of a table, of pandas, polars or Arrow, with at least "
            f"{FEWEST_ROWS} rows"
        )
    table = as_arrow(X)
    seen, own = course(table), course.blocks(table)
    given = Given.of(seen, y, sample_weight, own if groups is None else groups)
    made = [name for name in seen.column_names if name not in table.column_names]
    with given.counting():
        data, encoder, ranges = _take_inliers(detector, given.X, made)  # gaps where one begins
    outliers = _take_outliers(detector, given.outliers, encoder)
    assert encoder is not None
    encoder = replace(encoder, library=library, windows=course.over(table, encoder.left_out))
    validate_data(detector, _only(X, encoder), skip_check_array=True)
    return Taken(data, encoder, ranges, outliers, given.weights, given.groups)


def _take_inliers(
    detector: Any,  # noqa: ANN401
    X: ArrayLike,
    silent: Sequence[str] = (),
) -> tuple[Array, TableEncoder | None, Ranges]:
    """The features of training rows, what encodes them, and the ranges of the columns.

    A table of numbers without gaps needs no encoder, and one of fewer than ten rows gets none.
    """
    X = select(X)
    roles = {"categorical": detector.categorical, "context": detector.context}
    words = {role: _names(names) for role, names in roles.items() if names}
    table = None if library_of(X) is None else as_arrow(X)
    few = table is None or len(table) < FEWEST_ROWS
    if table is not None and not few and (words or detector.windows or not is_plain(table)):
        encoder, codes = TableEncoder.fit(X, **words, silent=silent)
        validate_data(detector, _only(X, encoder), skip_check_array=True)
        _check_size(codes)
        numbers = [p for p, part in enumerate(encoder.parts) if part.kind == "number"]
        screen(codes[:, numbers], [encoder.titles[p] for p in numbers])
        return encoder.features(codes, own=True), encoder, Ranges.of(encoder.amounts(codes))
    if words:
        raise ValueError(
            "categorical and context name columns of a table, of pandas, polars or Arrow, with at "
            f"least {FEWEST_ROWS} rows"
        )
    with naming_cells(X):
        data = validate_data(detector, X, dtype=np.float64, ensure_min_samples=2)
    _check_size(data)
    screen(data, names_of(detector, data.shape[1]))
    return data, None, Ranges.of(data)


def _names(names: Sequence[str] | None) -> list[str]:
    """The names of columns, of which a single one may be given as it is."""
    return [names] if isinstance(names, str) else list(names or ())


def _take_outliers(
    detector: Any,  # noqa: ANN401
    X: ArrayLike | None,
    encoder: TableEncoder | None,
) -> Array | None:
    """The features of known outliers, ``(K, D)``, if there are any."""
    if X is None:
        return None
    detector.encoder_, detector.ranges_ = encoder, None  # they may be out of any range
    return take(detector, X)


def take(detector: Any, X: ArrayLike) -> Array:  # noqa: ANN401
    """The features of new rows, ``(N, D)``: see `EnsembleDetector.check_rows`."""
    X = select(X, getattr(detector, "feature_names_in_", None))
    encoder = detector.encoder_
    if encoder is None:
        with naming_cells(X):
            data: Array = _valid(detector, X)
        _watch(detector, data)
        return data
    if library_of(X) is None:
        raise ValueError(
            "X must be a table with the columns "
            f"{', '.join(map(repr, encoder.columns[:5]))}{', ...' * (len(encoder.columns) > 5)}, "
            "as the detector was fitted on one with categories, dates or gaps"
        )
    X = _only(X, encoder)
    validate_data(detector, X, skip_check_array=True, reset=False)
    codes = encoder.codes(encoder.prepare(as_arrow(X)))
    _watch(detector, encoder.amounts(codes))
    return encoder.features(codes)


@final
class Given(NamedTuple):
    """What `fit` was given, row by row.

    Attributes:
        X: The rows to train on.
        outliers: Known outliers, if there are any.
        weights: How much each row of `X` counts, ``(N,)``, if they differ.
        groups: The number of each row's group, ``(N,)``, if there are groups.
        rows: Which of the rows that were given these are, ``(N,)``, if not all.
    """

    X: Any
    outliers: Any | None = None
    weights: Array | None = None
    groups: NDArray[np.int64] | None = None
    rows: NDArray[np.int64] | None = None

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the rows as they were given in errors of single cells."""
        try:
            yield
        except UnfitCellError as error:
            if self.rows is None:
                raise
            row = int(self.rows[error.row - 1]) + 1
            raise UnfitCellError(error.column, row, error.what) from error

    @classmethod
    def of(
        cls,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None,
    ) -> Given:
        """Take apart the arguments of `fit`.

        Raises:
            ValueError: If one of them does not go with the rows; the message names it.
        """
        outlier = _marks(y)
        if outlier is None and sample_weight is None and groups is None:
            return cls(X)
        rows = _num_samples(X)
        outlier = np.zeros(rows, dtype=bool) if outlier is None else outlier
        if len(outlier) != rows:
            raise ValueError(f"y must have a label for each of {rows} rows, got {len(outlier)}")
        if outlier.all():
            raise ValueError("y is -1, an outlier, in all rows, and none is left to train on")
        weights = check_weights(sample_weight, rows)
        numbers = None if groups is None else _number(groups, rows)
        trained = ~outlier & (weights > 0)
        if not trained.any():
            raise ValueError("sample_weight must not be zero in all rows that train")
        return cls(
            choose(X, trained),
            choose(X, outlier) if outlier.any() else None,
            None if sample_weight is None else weights[trained],
            None if numbers is None else numbers[trained],
            np.flatnonzero(trained),
        )


def _marks(y: ArrayLike | None) -> NDArray[np.bool_] | None:
    """Which rows `y` calls outliers, ``(N,)``, if it calls any so."""
    labels = None if y is None else np.asarray(y)
    if labels is None or labels.ndim != 1 or labels.dtype.kind not in "if":
        return None
    marks = labels == -1
    return marks if marks.any() and np.isin(labels, (-1, 0, 1)).all() else None


def _number(groups: ArrayLike, rows: int) -> NDArray[np.int64]:
    """The groups of rows as numbers from 0, ``(N,)``."""
    found = np.asarray(groups)
    if found.shape != (rows,):
        raise ValueError(f"groups must have a group for each of {rows} rows, got {found.shape}")
    if found.dtype == object:
        found = found.astype(str)
    numbers: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].astype(np.int64)
    return numbers


def titles_of(detector: Any, dim: int) -> list[str]:  # noqa: ANN401
    """The names of what an explanation can blame: columns, or their parts."""
    return names_of(detector, dim) if detector.encoder_ is None else detector.encoder_.titles


def _watch(detector: Any, data: Array) -> None:  # noqa: ANN401
    """Warn if most of the rows are outside the ranges of training."""
    if detector.ranges_ is not None and len(data) >= ENOUGH_ROWS:
        detector.ranges_.watch(titles_of(detector, data.shape[1])).add(data).warn()


def _valid(detector: Any, X: Any) -> Array:  # noqa: ANN401
    """What `validate_data` gives, which takes long for a single row, without it where it can."""
    if type(X) is np.ndarray and X.dtype == np.float64 and X.ndim == 2 and len(X):
        fits = X.shape[1] == detector.n_features_in_ and not hasattr(detector, "feature_names_in_")
        if fits and np.isfinite(X).all():
            return X
    checked: Array = validate_data(detector, X, dtype=np.float64, reset=False)
    return checked


def _only(X: Any, encoder: TableEncoder) -> Any:  # noqa: ANN401
    """The columns of a table that are features, as the table names them."""
    labels = {str(label): label for label in getattr(X, "column_names", X.columns)}
    return select(X, [labels[name] for name in encoder.columns if name in labels])


def _check_size(data: Array) -> None:
    if np.nanmax(np.abs(data)) > _LARGEST:
        raise ValueError(f"X has values beyond {_LARGEST:g}; rescale its columns")
