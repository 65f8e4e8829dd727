"""First layers one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compactflow.plugins import Kind
from compactflow.preprocessing.base import Preprocessing

__all__ = ["Chain"]

Array = NDArray[np.float64]


@final
class Chain(Preprocessing):
    """Creates a first layer that is several, each fitted to what the one before it gives.

    In a detector a list stands for it: ``preprocessing=["marginal", "whiten"]``.

    Args:
        dim: The number of features D.
        layers: What makes each layer from the dimension; in a detector its name, its class, or a
            mapping with its ``name`` and ``options``.

    Raises:
        ValueError: If there are no layers.

    Examples:
        >>> from compactflow.preprocessing.linear import Standardise, Whiten
        >>> chain = Chain(2, layers=[Standardise, Whiten])
        >>> chain.fit(np.random.default_rng(0).normal(size=(50, 2)) * [1, 100])
        >>> x = torch.tensor([[0.5, -70.0]], dtype=torch.float64)
        >>> torch.allclose(chain.inverse(chain(x)), x)
        True
    """

    components: ClassVar[dict[str, Kind]] = {"layers": "preprocessing"}

    def __init__(self, dim: int, *, layers: Sequence[Callable[[int], Preprocessing]]) -> None:
        super().__init__(dim)
        if not layers:
            raise ValueError("layers must name at least one first layer, got none")
        self.layers = nn.ModuleList(make(dim) for make in layers)

    def fit(self, X: Array, *, member: int = 0) -> None:
        """Fit each layer in turn to data ``(N, D)``; see `Preprocessing.fit`."""
        for layer in self._layers():
            layer.fit(X, member=member)
            with torch.no_grad():
                X = layer(torch.from_numpy(np.ascontiguousarray(X))).double().cpu().numpy()

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to preprocessed rows ``(N, D)``, in the last layer's dtype."""
        for layer in self._layers():
            x = layer(x)
        return x

    def inverse(self, y: Tensor) -> Tensor:
        """Map preprocessed rows ``(N, D)`` to data ``(N, D)``, in the first layer's dtype."""
        for layer in reversed(self._layers()):
            y = layer.inverse(y)
        return y

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂y/∂x|`` of each row of data ``(N, D)``, ``(N,)``."""
        total = x.new_zeros(len(x))
        for layer in self._layers():
            total = total + layer.log_abs_det(x)
            x = layer(x)
        return total

    def _layers(self) -> list[Preprocessing]:
        return cast("list[Preprocessing]", list(self.layers))
