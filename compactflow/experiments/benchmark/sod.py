"""Subspace outlier degree for rows that were not trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

__all__ = ["fit_sod"]

Array = NDArray[np.float64]

_NEIGHBOURS = 20
_REFERENCES = 10
_ALPHA = 0.8
_CHUNK = 500  # rows scored at a time


def fit_sod(train: Array, seed: int) -> Callable[[Array], Array]:
    """How far a row deviates where the training rows around it do not.

    Its reference rows are the training rows that share most nearest neighbours with it. The score
    is its distance to their mean in the features whose variance among them is below 0.8 of the
    mean variance, over the square root of the number of these features. PyOD's class of this name
    compares the rows to score with each other, so it cannot score by training rows.

    Args:
        train: Inliers, ``(N, D)``.
        seed: Not used.

    References:
        Kriegel, Kröger, Schubert, Zimek (2009), *Outlier detection in axis-parallel subspaces of
        high dimensional data*.
    """
    nearest = NearestNeighbors(n_neighbors=min(_NEIGHBOURS, len(train) - 1)).fit(train)
    known = nearest.kneighbors_graph().T.tocsr()

    def score(rows: Array) -> Array:
        chunks = np.array_split(rows, -(-len(rows) // _CHUNK))
        return np.concatenate([_score(chunk) for chunk in chunks])

    def _score(rows: Array) -> Array:
        shared = (nearest.kneighbors_graph(rows) @ known).toarray()
        references = train[np.argsort(-shared, axis=1, kind="stable")[:, :_REFERENCES]]
        variance = references.var(axis=1)
        flat = variance < _ALPHA * variance.mean(axis=1, keepdims=True)
        square = np.square(rows - references.mean(axis=1))
        return np.asarray(np.sqrt((square * flat).sum(axis=1) / flat.sum(axis=1).clip(min=1)))

    return score
