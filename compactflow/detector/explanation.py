"""Why a row is an outlier: the nearest inlier, found with the latent's support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.detector.counterfactuals import change_features, project, shorten
from compactflow.encoding.encoder import TableEncoder
from compactflow.flows.ensemble import Ensemble

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["RECORD", "Explanation", "explain"]

Array = NDArray[np.float64]

# The fields of a record, and their Arrow types.
RECORD = {
    "row": "int64",
    "signed_distance": "float64",
    "constraint": "int64",
    "violation": "float64",
    "feature": "string",
    "value": "float64",
    "counterfactual": "float64",
    "difference": "float64",
    "deviation": "float64",
}

_SAMPLES = 2000  # inliers drawn to learn the features' ranges
_NEAREST = 32  # of them tried in the context of a row
_ROUNDING = 1e-9  # of the size of a feature, by which inliers that are all one may differ
_CHANGES = 3  # features changed one by one before all are changed at once


@final
@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What separates rows from the inliers.

    Of a table with categories, dates or gaps, a feature here is a column, and its values in the
    arrays are codes (see `compactflow.encoding.parts`); `values` has the cells.

    Attributes:
        X: The explained rows, ``(N, D)``.
        counterfactual: For each outlier an inlier near it, in data units; inliers themselves,
            ``(N, D)``.
        difference: ``counterfactual - X``, in data units, 0 for inliers, ``(N, D)``; NaN where a
            gap is filled, which is only where gaps themselves tell something.
        deviation: How far each feature is off, ``-difference`` in standard deviations among
            inliers, ``(N, D)``; of a category or a date without a sign.
        signed_distance: The scores, ``(N,)``.
        outlier: Which rows are outliers, ``(N,)``.
        constraint: Index of the latent constraint that is broken most, ``(N,)``; -1 where none is
            broken. Constraint k of a cube bounds latent coordinate k.
        violation: By how much, in latent units; negative where none is broken, ``(N,)``.
        features: The features' names.
        encoder: What made numbers of the columns, if something did.
        table: The explained rows as they came, if they came as a table.

    Examples:
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> detector = OneClassFlow(max_steps=5, members=1, random_state=0).fit(X)
        >>> explanation = detector.explain([[0.0, 30.0]])
        >>> [record["feature"] for record in explanation.records(top=1)]
        ['x1']
        >>> bool(explanation.counterfactual[0, 1] < 10)
        True
    """

    X: Array
    counterfactual: Array
    difference: Array
    deviation: Array
    signed_distance: Array
    outlier: NDArray[np.bool_]
    constraint: NDArray[np.int64]
    violation: Array
    features: list[str]
    encoder: TableEncoder | None = None
    table: pa.Table | None = None

    @property
    def ranking(self) -> NDArray[np.int64]:
        """Indices of the features of each row, from the most to the least off, ``(N, D)``."""
        return np.argsort(-np.abs(self.deviation), axis=1, kind="stable")

    def records(self, top: int | None = None) -> Iterator[dict[str, Any]]:
        """One record, with the fields of `RECORD`, per outlier and feature, the most off first.

        Features that need no change are left out; ``row`` counts from 0.

        Args:
            top: Features per outlier at most; all that are off if not given.
        """
        ranking = self.ranking
        for i in np.flatnonzero(self.outlier):
            for j in ranking[i, :top]:
                if self.difference[i, j] == 0:
                    break
                value, counterfactual, difference = self.values(int(i), int(j))
                yield {
                    "row": int(i),
                    "signed_distance": float(self.signed_distance[i]),
                    "constraint": int(self.constraint[i]),
                    "violation": float(self.violation[i]),
                    "feature": self.features[j],
                    "value": value,
                    "counterfactual": counterfactual,
                    "difference": difference,
                    "deviation": float(self.deviation[i, j]),
                }

    def values(self, row: int, feature: int) -> tuple[Any, Any, float | None]:
        """The value of a feature in a row, that of the inlier near it, and the step between them.

        The step has the unit of the data; of dates it is in days. Between categories, and from a
        gap, there is none.
        """
        codes = self.X[row, feature], self.counterfactual[row, feature]
        if self.encoder is None:
            return float(codes[0]), float(codes[1]), float(self.difference[row, feature])
        part = self.encoder.parts[feature]
        value, counterfactual = (part.cells(np.array([code]))[0].as_py() for code in codes)
        if self.table is not None and part.unknown(codes[0]):
            value = self.table[part.name][row].as_py()
        return value, counterfactual, part.step(*codes)

    def to_frame(self, top: int | None = None) -> pd.DataFrame:
        """`records` as a data frame: one row per outlier and feature that is off.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "to_frame needs pandas, which is not installed: pip install pandas"
            ) from error
        return pd.DataFrame(list(self.records(top)), columns=list(RECORD))


def explain(
    ensemble: Ensemble,
    X: Array,
    names: Sequence[str] | None = None,
    *,
    encoder: TableEncoder | None = None,
    table: pa.Table | None = None,
) -> Explanation:
    """Explain rows by counterfactuals: inliers that are near.

    For each outlier, up to three features are set to other values, one after the other; each time
    the change is made that lowers the signed distance most. So few features are blamed where few
    suffice. Otherwise the latent is moved to the nearest point of the support. The change is then
    shortened until the counterfactual lies just inside the boundary.

    Of a table with categories, dates or gaps, columns change instead of features, to what an
    inlier has. A gap stays one, unless gaps themselves tell something.

    Args:
        ensemble: The fitted flows.
        X: Rows, ``(N, D)``.
        names: The features' names, or the encoder's titles; ``x0``, ``x1``, … if not given.
        encoder: What made the features of columns, if something did.
        table: The rows as they came, if an encoder made features of them.

    Raises:
        ValueError: If the boundary leaves out all of 2000 decoded latents.
    """
    typical = ensemble.inliers(_SAMPLES, seed=0)
    typical = typical[ensemble.signed_distance(typical) <= 0]
    if not len(typical):
        raise ValueError(
            "the boundary leaves out every inlier that was drawn, so there is no counterfactual; "
            "use set_boundary with a higher level"
        )
    distance = ensemble.signed_distance(X)
    outlier = distance > 0
    near = X.copy()
    if outlier.any():
        near[outlier] = _inliers_near(ensemble, X[outlier], typical, encoder)
    constraints = ensemble.constraints(ensemble.encode(X))
    worst = constraints.max(axis=1)
    # Behind the features is what rows carry of their context, which stays.
    X, near, typical = X[:, : ensemble.dim], near[:, : ensemble.dim], typical[:, : ensemble.dim]
    spread = typical.std(axis=0)
    if encoder is None:
        deviation = (X - near) / np.maximum(spread, np.finfo(np.float64).tiny)
    else:
        # Inliers that are all one differ by rounding; features of words and dates are near 1.
        size = np.abs(typical).max(axis=0)
        size[encoder.leaps] = np.maximum(size[encoder.leaps], 1)
        deviation = (X - near) / np.where(spread > _ROUNDING * size, spread, 1)
        codes = encoder.restore(X) if table is None else encoder.codes(table)
        codes, given = np.split(codes, [len(encoder.parts)], axis=1)
        deviation = _of_groups(deviation, encoder.groups)
        X, near = codes, np.where(deviation == 0, codes, encoder.restore(near, given))
    same = (near == X) | (np.isnan(X) & np.isnan(near))
    return Explanation(
        X=X,
        counterfactual=near,
        difference=np.where(same, 0, near - X),
        deviation=np.where(same, 0, deviation),
        signed_distance=distance,
        outlier=outlier,
        constraint=np.where(worst > 0, constraints.argmax(axis=1), -1),
        violation=worst,
        features=[f"x{j}" for j in range(X.shape[1])] if names is None else list(names),
        encoder=encoder,
        table=table,
    )


def _of_groups(deviation: Array, groups: Sequence[Sequence[int]]) -> Array:
    """Deviations of features as those of groups: with a sign only of a group of one."""
    known = np.nan_to_num(deviation)
    each = [
        known[:, group[0]] if len(group) == 1 else np.abs(known[:, group]).max(axis=1)
        for group in groups
    ]
    return np.column_stack(each)


def _inliers_near(
    ensemble: Ensemble, X: Array, typical: Array, encoder: TableEncoder | None
) -> Array:
    groups = None if encoder is None else encoder.groups
    near, found = change_features(ensemble, X, typical, changes=_CHANGES, groups=groups)
    if encoder is not None:
        # Where few changes do not help, all are made. Only a number can go part of the way.
        near[~found] = _nearest(ensemble, X[~found], typical)
        start = X.copy()
        start[:, encoder.leaps] = near[:, encoder.leaps]
        return shorten(ensemble, start, near, lambda rows: rows)
    if found.any():
        near[found] = shorten(ensemble, X[found], near[found], lambda rows: rows)
    if not found.all():
        near[~found] = project(ensemble, X[~found], typical)
    return near


def _nearest(ensemble: Ensemble, X: Array, typical: Array) -> Array:
    """The inlier nearest to each row in latent space, with the row's gaps, ``(N, D)``.

    In the row's own context, if it has one: what is an inlier elsewhere may be none there.
    """
    if not len(X):
        return X
    Z, goals = (torch.from_numpy(ensemble.encode(rows)) for rows in (X, typical))
    order = torch.cdist(Z, goals).argsort(dim=1).numpy()
    goal = _in_place(typical[order[:, 0]], X, ensemble.dim)
    for k in range(1, min(_NEAREST, len(typical))):
        outside = ensemble.signed_distance(goal) > 0
        if ensemble.contexts is None or not outside.any():
            break
        goal[outside] = _in_place(typical[order[outside, k]], X[outside], ensemble.dim)
    return goal


def _in_place(rows: Array, X: Array, dim: int) -> Array:
    """The features of other rows, with the gaps and the context of rows ``(N, D + P)``."""
    features = np.where(np.isnan(X[:, :dim]), np.nan, rows[:, :dim])
    return np.column_stack([features, X[:, dim:]])
