"""Clusters of data by density, of any shape."""

from __future__ import annotations

import warnings

import torch
from sklearn.cluster import HDBSCAN, SpectralClustering
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

__all__ = ["find_clusters"]

_SMALLEST = 0.05  # of the rows: fewer are no cluster


def find_clusters(x: Tensor, count: int | None, most: int) -> Tensor:
    """Label the rows of ``(N, D)`` by cluster, ``(N,)``, from 0.

    Args:
        x: The data.
        count: The number of clusters (spectral clustering on the graph of nearest neighbours), or
            ``None`` for as many as are dense (Campello, Moulavi, Sander 2013, *HDBSCAN*).
        most: Rows to cluster at most; the others join their nearest neighbours.
    """
    rows = x.double().cpu().numpy()
    part = rows[:most]
    if count == 1 or len(part) < 20:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
    if count is None:
        size = max(10, int(_SMALLEST * len(part)))
        labels = HDBSCAN(min_cluster_size=size, copy=True).fit_predict(part)
    else:
        clustering = SpectralClustering(count, affinity="nearest_neighbors", random_state=0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Graph is not fully connected")
            labels = clustering.fit_predict(part)
    clear = labels >= 0  # HDBSCAN labels what it takes for noise -1
    if not clear.any():
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
    nearest = KNeighborsClassifier(n_neighbors=1).fit(part[clear], labels[clear])
    return torch.from_numpy(nearest.predict(rows)).long().to(x.device)
