"""The first layers are fitted here, or each by a worker."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.devices import fresh_defaults
from compactflow.flows.contracts import is_own
from compactflow.flows.reach import draw_in
from compactflow.preprocessing.base import Preprocessing
from compactflow.training.holdout import HoldOut
from compactflow.workers import Workers

__all__ = ["fit_layers"]

Array = NDArray[np.float64]


def fit_layers(
    layers: list[Preprocessing],
    data: Array,
    dim: int,
    hold_out: HoldOut,
    workers: Workers | None,
) -> tuple[list[Preprocessing], NDArray[np.float32] | None]:
    """Fit the first layers, each to the rows that train its flow.

    Returns:
        The layers, and all rows as each gives them, ``(N, M, D)``, if workers have fitted them.
    """
    # Another's layer may draw from torch's generator.
    if workers is None or not all(map(is_own, layers)):
        for m, rows in enumerate(hold_out.training_rows().T.numpy()):
            layers[m].fit(data[rows, :dim], member=m)
        return layers, None
    tasks = [(m, layer, hold_out) for m, layer in enumerate(layers)]
    fitted, views = zip(*workers.run(_fit_layer, data, tasks), strict=True)
    return list(fitted), np.stack(views, axis=1)


def _fit_layer(
    data: Array, task: tuple[int, Preprocessing, HoldOut]
) -> tuple[Preprocessing, NDArray[np.float32]]:
    """Fit the first layer of a flow, and pass all rows through it, as training takes them."""
    m, layer, hold_out = task
    with fresh_defaults():
        # A copy, as shared arrays are read-only.
        features, codes = torch.from_numpy(data.copy()).tensor_split([layer.dim], dim=1)
        layer.fit(features[hold_out.training_rows()[:, m]].numpy(), member=m)
        rows = torch.cat([draw_in(layer(features)), codes], dim=1)
        return layer, rows.to(torch.float32).numpy()
