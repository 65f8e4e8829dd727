"""The interface of a first layer, and the statistics that all of them rest on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Preprocessing", "fence", "finite", "is_constant", "spread"]

Array = NDArray[np.float64]

_TRIM = 0.01  # the share of rows on either side that may be anything
_REACH = 3.0  # how far beyond the other rows a fence stands, in their ranges
_ROUNDING = 1e-12  # of a column's centre: as much as its values differ by, if they are all one


class Preprocessing(nn.Module, ABC):
    """A bijection of data, fitted to the rows that train a flow and then fixed.

    What it learns must be buffers, whose shapes follow from the dimension and the options: a model
    file keeps nothing else of it.

    Args:
        dim: The number of features D, at least 1.

    Raises:
        ValueError: If `dim` is smaller than 1.

    Examples:
        >>> class Halve(Preprocessing):
        ...     def fit(self, X, *, member=0): ...
        ...     def forward(self, x): return x / 2
        ...     def inverse(self, y): return 2 * y
        ...     def log_abs_det(self, x): return torch.full(x.shape[:1], -self.dim * np.log(2))
        >>> layer, x = Halve(2), torch.ones(5, 2)
        >>> layer(x)[0], layer.log_abs_det(x).shape
        (tensor([0.5000, 0.5000]), torch.Size([5]))
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim is the number of features and must be at least 1, got {dim}")
        self.dim = dim

    @abstractmethod
    def fit(self, X: Array, *, member: int = 0) -> None:
        """Fit the map to data.

        Args:
            X: Data, ``(N, D)``, finite.
            member: Which flow of an ensemble the layer is for. A layer may show each flow another
                view of the data, so that their mistakes differ.
        """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to preprocessed rows ``(N, D)``, in the layer's dtype."""

    @abstractmethod
    def inverse(self, y: Tensor) -> Tensor:
        """Map preprocessed rows ``(N, D)`` to data ``(N, D)``, in the layer's dtype."""

    @classmethod
    def joined(cls, layers: Sequence[Preprocessing]) -> Callable[[Tensor], Tensor]:
        """The maps of M layers, as they are now, as one from data ``(N, D)`` to ``(M, N, D)``.

        A class whose layers can share work overrides it.

        Args:
            layers: The layers, of this class and equal options.
        """
        return lambda x: torch.stack([layer(x) for layer in layers])

    @abstractmethod
    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂y/∂x|`` of each row of data ``(N, D)``, ``(N,)``."""


def fence(X: Array) -> Array:
    """The rows with far values drawn in, ``(N, D)``, to take statistics of.

    A value may lie up to three ranges of the middle 98 % of its column beyond them. So a few wild
    values, one row in a hundred, do not set the unit of a column. A column of which 98 % are one
    value has no such range and stays as it is: its rare values are what there is to know of it.

    Args:
        X: Data, ``(N, D)``.
    """
    low = np.quantile(X, _TRIM, axis=0, method="higher")
    high = np.quantile(X, 1 - _TRIM, axis=0, method="lower")
    reach = np.where(high > low, _REACH * (high - low), np.inf)
    return np.clip(X, low - reach, high + reach)


def finite(r: Tensor) -> Tensor:
    """Values in a layer's units, with those drawn in of which a sum would overflow."""
    most = 1e-8 * torch.finfo(r.dtype).max
    return r.clamp(-most, most)


def is_constant(deviation: Array, centre: Array) -> NDArray[np.bool_]:
    """Which columns ``(D,)`` are constant up to rounding, by their deviations and centres."""
    return deviation <= _ROUNDING * np.abs(centre)


def spread(deviation: Array, centre: Array) -> Array:
    """Deviations of columns ``(D,)``, with 1 for those that are constant.

    Where 1 is less than their rounding, as beside 1e20, it is as much as can be told apart.
    """
    instead = np.maximum(1.0, _ROUNDING * np.abs(centre))
    return np.where(is_constant(deviation, centre), instead, deviation)
