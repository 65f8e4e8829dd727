"""The fixed first layer of a flow: scale the columns, bend their far tails, decorrelate."""

from __future__ import annotations

from math import inf
from typing import Literal, TypeAlias, final, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

__all__ = ["Method", "Preprocessing"]

Method: TypeAlias = Literal["half-whiten", "whiten", "standardise", "none"]

# Directions whose variance is below this share of the mean variance are treated as having that
# share: it bounds the condition number of the map, and so its round-trip error.
_VARIANCE_FLOOR = 1e-6


@final
class Preprocessing(nn.Module):
    """The invertible map ``y = (b((x - mean) / scale) - centre) W``, in float64 unless cast.

    ``b(u) = u / (1 + (u/c)²)^(1/4)`` acts on each column: the identity near 0, and a square root
    beyond the horizon c, so that one far value does not drown all others. Its inverse is
    ``b⁻¹(v) = v √(a + √(a² + 1))`` with ``a = v²/(2c²)``.

    A stack of M maps (`compactflow.training.stack.stack_modules`) takes row i through map
    ``i mod M``, of a multiple of M rows. It serves training and has no inverse.

    Args:
        mean: ``(D,)``, in data units.
        scale: ``(D,)``, positive, in data units.
        horizon: c, a scalar; infinite for no bend.
        centre: ``(D,)``.
        matrix: W, ``(D, D)``.
        inverse_matrix: W⁻¹, ``(D, D)``.
    """

    mean: Tensor
    scale: Tensor
    horizon: Tensor
    centre: Tensor
    matrix: Tensor
    inverse_matrix: Tensor

    def __init__(
        self,
        *,
        mean: Tensor,
        scale: Tensor,
        horizon: Tensor,
        centre: Tensor,
        matrix: Tensor,
        inverse_matrix: Tensor,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("horizon", horizon)
        self.register_buffer("centre", centre)
        self.register_buffer("matrix", matrix)
        self.register_buffer("inverse_matrix", inverse_matrix)

    @property
    def dim(self) -> int:
        """The number of features D."""
        return self.mean.shape[-1]

    @classmethod
    def identity(cls, dim: int) -> Preprocessing:
        """The map that changes nothing, for data of `dim` features."""
        return cls._of(np.zeros(dim), np.ones(dim))

    @classmethod
    def fit(cls, X: NDArray[np.floating], method: Method) -> Preprocessing:
        """Fit the map to data.

        A constant column is centred and left unscaled, so that a later deviation counts in its
        own units.

        Args:
            X: Data, ``(N, D)``.
            method: ``"whiten"`` divides every column by its range, bends values beyond one range
                and decorrelates with the Ledoit-Wolf covariance (Ledoit and Wolf 2004),
                symmetrically (ZCA); ``"half-whiten"`` likewise after halving all covariances,
                which leaves a part of the correlations; ``"standardise"`` gives every column
                mean 0 and standard deviation 1; ``"none"`` is the identity.

        Raises:
            ValueError: If `method` is unknown.
        """
        if method not in get_args(Method):
            raise ValueError(
                f"preprocessing must be one of {', '.join(get_args(Method))}, got {method!r}"
            )
        X = X.astype(np.float64)
        if method == "none":
            return cls.identity(X.shape[1])
        mean = X.mean(axis=0)
        if method == "standardise":
            return cls._of(mean, _usable(X.std(axis=0), mean))
        # Before whitening the range is the better unit: the shrinkage then does not blow up a
        # column that is zero in nearly every row.
        scale = _usable(np.ptp(X, axis=0), mean)
        bent = _bend(torch.from_numpy((X - mean) / scale), torch.ones(())).numpy()
        covariance = ledoit_wolf(bent)[0]
        if method == "half-whiten":
            covariance = (covariance + np.diag(np.diag(covariance))) / 2
        root, inverse_root = _roots(covariance)
        return cls._of(mean, scale, 1.0, bent.mean(axis=0), inverse_root, root)

    @classmethod
    def _of(
        cls,
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
        horizon: float = inf,
        centre: NDArray[np.float64] | None = None,
        matrix: NDArray[np.float64] | None = None,
        inverse_matrix: NDArray[np.float64] | None = None,
    ) -> Preprocessing:
        dim = len(mean)
        return cls(
            mean=torch.from_numpy(mean),
            scale=torch.from_numpy(scale),
            horizon=torch.tensor(horizon, dtype=torch.float64),
            centre=torch.from_numpy(np.zeros(dim) if centre is None else centre),
            matrix=torch.from_numpy(np.eye(dim) if matrix is None else matrix),
            inverse_matrix=torch.from_numpy(np.eye(dim) if matrix is None else inverse_matrix),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, D)`` data to preprocessed data, in this map's dtype."""
        u = (x.to(self.mean).reshape(-1, *self.mean.shape) - self.mean) / self.scale
        # Of a stack this is (N/M, M, D), and its product is one of M batches.
        centred = (_bend(u, self.horizon[..., None]) - self.centre).movedim(0, -2)
        return (centred @ self.matrix).movedim(-2, 0).reshape(-1, self.dim)

    def inverse(self, y: Tensor) -> Tensor:
        """Map ``(N, D)`` preprocessed data back to data, in this map's dtype."""
        v = y.to(self.mean) @ self.inverse_matrix + self.centre
        a = 0.5 * (v / self.horizon).square()
        return v * (a + torch.hypot(a, torch.ones_like(a))).sqrt() * self.scale + self.mean

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂y/∂x|`` of each row of data ``(N, D)``, ``(N,)``."""
        square = ((x.to(self.mean) - self.mean) / self.scale / self.horizon).square()
        bend = torch.log1p(square / 2) - 1.25 * torch.log1p(square)
        return (bend - self.scale.log()).sum(dim=1) + torch.linalg.slogdet(self.matrix).logabsdet


def _bend(u: Tensor, horizon: Tensor) -> Tensor:
    r = u / horizon
    return u / torch.hypot(r, torch.ones_like(r)).sqrt()


def _usable(scale: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scales, with 1 for a constant column: a spread within rounding error is none."""
    return np.where(scale <= 1e-12 * np.abs(mean), 1.0, scale)


def _roots(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Symmetric square root of a covariance matrix and its inverse, ``(D, D)`` each."""
    variance, axes = np.linalg.eigh(covariance)
    floor = _VARIANCE_FLOOR * max(variance.mean(), np.finfo(np.float64).tiny)
    deviation = np.sqrt(variance.clip(min=floor))
    return (axes * deviation) @ axes.T, (axes / deviation) @ axes.T
