"""The fixed first layer of a flow: centre and scale, or whiten, the data."""

from __future__ import annotations

from typing import Literal, TypeAlias, final, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

__all__ = ["Affine", "Method"]

Method: TypeAlias = Literal["whiten", "standardise", "none"]

# Directions whose variance is below this share of the mean variance are treated as having that
# share: it bounds the condition number of the map, and so its round-trip error.
_VARIANCE_FLOOR = 1e-6


@final
class Affine(nn.Module):
    """The invertible affine map ``y = (x - mean) W``, in float64 unless cast.

    Args:
        mean: Centre, ``(D,)``, in data units.
        matrix: W, ``(D, D)``.
        inverse_matrix: W⁻¹, ``(D, D)``.
    """

    mean: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor, inverse_matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)
        self.register_buffer("inverse_matrix", inverse_matrix)

    @property
    def dim(self) -> int:
        """The number of features D."""
        return len(self.mean)

    @property
    def log_abs_det(self) -> Tensor:
        """``log |det W|``, a scalar."""
        return torch.linalg.slogdet(self.matrix).logabsdet

    @classmethod
    def identity(cls, dim: int) -> Affine:
        """The map that changes nothing, for data of `dim` features."""
        eye = torch.eye(dim, dtype=torch.float64)
        return cls(torch.zeros(dim, dtype=torch.float64), eye, eye.clone())

    @classmethod
    def fit(cls, X: NDArray[np.floating], method: Method) -> Affine:
        """Fit the map to data.

        A constant column is centred and left unscaled, so that a later deviation counts in its
        own units.

        Args:
            X: Data, ``(N, D)``.
            method: ``"whiten"`` divides every column by its range and then decorrelates with the
                Ledoit-Wolf covariance (Ledoit and Wolf 2004), symmetrically (ZCA);
                ``"standardise"`` gives every column mean 0 and standard deviation 1; ``"none"``
                is the identity.

        Raises:
            ValueError: If `method` is unknown.
        """
        if method not in get_args(Method):
            raise ValueError(
                f"preprocessing must be one of {', '.join(get_args(Method))}, got {method!r}"
            )
        if method == "none":
            return cls.identity(X.shape[1])
        X = X.astype(np.float64)
        mean = X.mean(axis=0)
        # Before whitening the range is the better unit: the shrinkage then does not blow up a
        # column that is zero in nearly every row.
        scale = np.ptp(X, axis=0) if method == "whiten" else X.std(axis=0)
        # A spread within the rounding error of the mean is no spread.
        scale[scale <= 1e-12 * np.abs(mean)] = 1.0
        scale[scale == 0] = 1.0
        matrix, inverse = np.diag(1 / scale), np.diag(scale)
        if method == "whiten" and len(X) > 1:
            root, inverse_root = _roots(ledoit_wolf((X - mean) / scale)[0])
            matrix, inverse = matrix @ inverse_root, root @ inverse
        return cls(*map(torch.from_numpy, (mean, matrix, inverse)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, D)`` data to preprocessed data, in this map's dtype."""
        return (x.to(self.mean) - self.mean) @ self.matrix

    def inverse(self, y: Tensor) -> Tensor:
        """Map ``(N, D)`` preprocessed data back to data, in this map's dtype."""
        return y.to(self.mean) @ self.inverse_matrix + self.mean


def _roots(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Symmetric square root of a covariance matrix and its inverse, ``(D, D)`` each."""
    variance, axes = np.linalg.eigh(covariance)
    floor = _VARIANCE_FLOOR * max(variance.mean(), np.finfo(np.float64).tiny)
    deviation = np.sqrt(variance.clip(min=floor))
    return (axes * deviation) @ axes.T, (axes / deviation) @ axes.T
