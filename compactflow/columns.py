"""The columns of tables that are features, found by their names, and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["choose", "names_of", "pandas_index", "select"]


def pandas_index(schema: Any) -> list[str]:  # noqa: ANN401
    """The names of the columns of an Arrow schema that are the index of a data frame."""
    try:
        columns = (schema.pandas_metadata or {}).get("index_columns", [])
        return [name for name in columns if isinstance(name, str)]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []  # the note is damaged, or not from pandas


def select(X: Any, names: Sequence[str] | None = None) -> Any:  # noqa: ANN401
    """The features of a table, of pandas, Arrow or polars; an array stays as it is.

    Args:
        X: The rows.
        names: The features in their order: they may come in another, among other columns. If not
            given, all columns but the index that pandas keeps in an Arrow table.
    """
    columns = getattr(X, "column_names", None)  # as Arrow calls them
    columns = getattr(X, "columns", None) if not isinstance(columns, list) else columns
    if columns is None or len(columns) != len(set(columns)):
        return X
    found = list(columns)
    if names is None:
        index = pandas_index(getattr(X, "schema", None))
        names = [name for name in found if name not in index]
    elif not set(names) <= set(found):
        return X
    if found == list(names):
        return X
    choose = getattr(X, "select", None)
    return choose(list(names)) if callable(choose) else X[list(names)]


def choose(X: Any, wanted: NDArray[np.bool_]) -> Any:  # noqa: ANN401
    """The wanted rows of an array or table, of pandas, Arrow or polars: as it is, if all are."""
    if wanted.all():
        return X
    rows = np.flatnonzero(wanted)
    if hasattr(X, "column_names"):  # of Arrow
        return X.take(rows)
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if hasattr(X, "shape") else np.asarray(X)[rows]


def names_of(detector: object, dim: int) -> list[str]:
    """The names of a detector's features; x0, x1, ... if it was fitted on an array."""
    names = getattr(detector, "feature_names_in_", None)
    return [f"x{j}" for j in range(dim)] if names is None else [str(name) for name in names]
