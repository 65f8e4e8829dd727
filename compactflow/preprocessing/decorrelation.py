"""Taking out a part of the correlations of standardised columns."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn

__all__ = ["Decorrelation"]

_RANK = 256  # directions that are told apart; the variance of the others is taken as equal


@final
class Decorrelation(nn.Module):
    """Creates the whitening ``y = (x - m) W`` with ``W = (s C + (1 - s) I)^(-1/2)``, symmetric.

    s is a share of the correlations, and C the Ledoit-Wolf estimate of them. W is kept as
    ``r I + V (t - r) Vᵀ`` with the leading axes V of C, at most 256, so memory grows with D and
    not with D². If there are more columns, V is orthogonal up to single precision only.

    Args:
        dim: The number of columns D.
    """

    mean: Tensor  # (D,)
    axes: Tensor  # V, (D, K)
    stretch: Tensor  # t, (K,)
    rest: Tensor  # r, ()

    def __init__(self, dim: int) -> None:
        super().__init__()
        rank = min(dim, _RANK)
        self.register_buffer("mean", torch.zeros(dim, dtype=torch.float64))
        self.register_buffer("axes", torch.eye(dim, rank, dtype=torch.float64))
        self.register_buffer("stretch", torch.ones(rank, dtype=torch.float64))
        self.register_buffer("rest", torch.ones((), dtype=torch.float64))

    def fit(self, X: NDArray[np.float64], share: float = 0.5) -> None:
        """Fit W to standardised columns ``(N, D)``; half-whitening by default."""
        from sklearn.covariance import ledoit_wolf_shrinkage  # it imports half of scikit-learn

        mean, rank = X.mean(axis=0), len(self.stretch)
        centred, dim = X - mean, X.shape[1]
        shrinkage = ledoit_wolf_shrinkage(centred, assume_centered=True)
        if dim > rank:
            _, scale, rows = randomized_svd(centred, rank, random_state=0)
            variance = np.zeros(rank)
            variance[: len(scale)] = scale**2 / len(X)
            axes = np.linalg.qr(np.concatenate([rows.T, np.eye(dim, rank - len(scale))], 1))[0]
            axes = axes.astype(np.float32).astype(np.float64)  # to halve them in a model file
        else:
            variance, axes = np.linalg.eigh(centred.T @ centred / len(X))
        total = (centred**2).sum() / len(X)
        others = max(total - variance.sum(), 0.0) / max(dim - rank, 1)

        def stretch(variance: NDArray[np.float64]) -> NDArray[np.float64]:
            shrunk = (1 - shrinkage) * variance.clip(min=0) + shrinkage * total / dim
            return np.asarray((share * shrunk + (1 - share)) ** -0.5)

        self.mean = torch.from_numpy(mean)
        self.axes = torch.from_numpy(np.ascontiguousarray(axes))
        self.stretch = torch.from_numpy(stretch(variance))
        self.rest = torch.from_numpy(stretch(np.array(others)))

    def forward(self, x: Tensor) -> Tensor:
        """Map columns ``(N, D)`` to rows with less correlation, ``(N, D)``."""
        return self._multiply(x - self.mean, self.stretch, self.rest)

    def inverse(self, y: Tensor) -> Tensor:
        """Map such rows back to columns, ``(N, D)``."""
        x = self._multiply(y, 1 / self.stretch, 1 / self.rest)
        if len(self.stretch) < len(self.mean):  # what the rounding of the axes has left
            rest = y - self._multiply(x, self.stretch, self.rest)
            x = x + self._multiply(rest, 1 / self.stretch, 1 / self.rest)
        return x + self.mean

    def log_abs_det(self) -> Tensor:
        """``log |det W|``, a scalar."""
        return self.stretch.log().sum() + (len(self.mean) - len(self.stretch)) * self.rest.log()

    def matrix(self) -> Tensor:
        """W, ``(D, D)``."""
        return self._multiply(torch.eye(len(self.mean)).to(self.mean), self.stretch, self.rest)

    def _multiply(self, x: Tensor, stretch: Tensor, rest: Tensor) -> Tensor:
        if len(stretch) == len(self.mean):
            return (x @ self.axes * stretch) @ self.axes.T
        return rest * x + (x @ self.axes * (stretch - rest)) @ self.axes.T
