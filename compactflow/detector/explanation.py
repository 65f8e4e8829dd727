"""Why a row is an outlier: the nearest inlier, found with the latent's support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from compactflow.detector.counterfactuals import change_features, project, shorten
from compactflow.flows.ensemble import Ensemble

if TYPE_CHECKING:
    import pandas as pd

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
_CHANGES = 3  # features changed one by one before all are changed at once


@final
@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What separates rows from the inliers.

    Attributes:
        X: The explained rows, ``(N, D)``.
        counterfactual: For each outlier an inlier near it, in data units; inliers themselves,
            ``(N, D)``.
        difference: ``counterfactual - X``, in data units, 0 for inliers, ``(N, D)``.
        spread: Standard deviation of each feature among inliers, in data units, ``(D,)``.
        signed_distance: The scores, ``(N,)``.
        outlier: Which rows are outliers, ``(N,)``.
        constraint: Index of the latent constraint that is broken most, ``(N,)``; -1 where none is
            broken. Constraint k of a cube bounds latent coordinate k.
        violation: By how much, in latent units; negative where none is broken, ``(N,)``.
        features: The features' names.

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
    spread: Array
    signed_distance: Array
    outlier: NDArray[np.bool_]
    constraint: NDArray[np.int64]
    violation: Array
    features: list[str]

    @property
    def deviation(self) -> Array:
        """How far each feature is off, ``-difference`` in units of `spread`, ``(N, D)``."""
        return -self.difference / self.spread

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
        deviation, ranking = self.deviation, self.ranking
        for i in np.flatnonzero(self.outlier):
            for j in ranking[i, :top]:
                if self.difference[i, j] == 0:
                    break
                yield {
                    "row": int(i),
                    "signed_distance": float(self.signed_distance[i]),
                    "constraint": int(self.constraint[i]),
                    "violation": float(self.violation[i]),
                    "feature": self.features[j],
                    "value": float(self.X[i, j]),
                    "counterfactual": float(self.counterfactual[i, j]),
                    "difference": float(self.difference[i, j]),
                    "deviation": float(deviation[i, j]),
                }

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


def explain(ensemble: Ensemble, X: Array, names: Sequence[str] | None = None) -> Explanation:
    """Explain rows by counterfactuals: inliers that are near.

    For each outlier, up to three features are set to other values, one after the other; each time
    the change is made that lowers the signed distance most. So few features are blamed where few
    suffice. Otherwise the latent is moved to the nearest point of the support. The change is then
    shortened until the counterfactual lies just inside the boundary.

    Args:
        ensemble: The fitted flows.
        X: Rows, ``(N, D)``.
        names: The features' names; ``x0``, ``x1``, … if not given.

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
    counterfactual = X.copy()
    if outlier.any():
        counterfactual[outlier] = _inliers_near(ensemble, X[outlier], typical)
    constraints = ensemble.constraints(ensemble.encode(X))
    worst = constraints.max(axis=1)
    return Explanation(
        X=X,
        counterfactual=counterfactual,
        difference=counterfactual - X,
        spread=np.maximum(typical.std(axis=0), np.finfo(np.float64).tiny),
        signed_distance=distance,
        outlier=outlier,
        constraint=np.where(worst > 0, constraints.argmax(axis=1), -1),
        violation=worst,
        features=[f"x{j}" for j in range(X.shape[1])] if names is None else list(names),
    )


def _inliers_near(ensemble: Ensemble, X: Array, typical: Array) -> Array:
    near, found = change_features(ensemble, X, typical, changes=_CHANGES)
    if found.any():
        near[found] = shorten(ensemble, X[found], near[found], lambda rows: rows)
    if not found.all():
        near[~found] = project(ensemble, X[~found], typical)
    return near
