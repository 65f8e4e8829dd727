"""Groups of distances from the centre."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

__all__ = ["find_groups"]

_ROWS = 2000  # clustering is quadratic in the rows
_SMALLEST = 0.1  # of the rows: fewer are no group


def find_groups(radius: Tensor, count: int | None) -> Tensor:
    """Label distances ``(N,)`` by group, ``(N,)``, from 0 for the nearest group.

    Args:
        radius: The distances.
        count: The number of groups, or ``None`` for as many as are dense (Campello, Moulavi,
            Sander 2013, *HDBSCAN*).
    """
    values = radius.double().cpu().numpy()[:, None]
    part = values[:_ROWS]
    alone = torch.zeros(len(radius), dtype=torch.long, device=radius.device)
    if count == 1 or len(part) < 20:
        return alone
    if count is None:
        size = max(10, int(_SMALLEST * len(part)))
        clustering = HDBSCAN(min_cluster_size=size, allow_single_cluster=True, copy=True)
    else:
        clustering = KMeans(count, n_init=10, random_state=0)
    labels = clustering.fit_predict(part)
    clear = labels >= 0  # HDBSCAN labels what it takes for noise -1
    if not clear.any():
        return alone
    nearest = KNeighborsClassifier(n_neighbors=1).fit(part[clear], labels[clear])
    found = nearest.predict(values)
    names = sorted(np.unique(found), key=lambda name: values[found == name].mean())
    order = {name: k for k, name in enumerate(names)}
    return torch.tensor([order[name] for name in found], device=radius.device)
