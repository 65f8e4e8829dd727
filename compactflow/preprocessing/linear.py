"""First layers that scale, bend the far tails and decorrelate."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compactflow.preprocessing.base import Preprocessing, fence, finite, spread

__all__ = ["Enclose", "HalfWhiten", "Identity", "Linear", "Standardise", "Whiten", "bend"]

Array = NDArray[np.float64]

# Directions whose variance is below this share of the mean variance are treated as having that
# share: it bounds the condition number of the map, and so its round-trip error.
_VARIANCE_FLOOR = 1e-6
_ENCLOSED = 0.95  # the share of rows that start inside the cube


class Linear(Preprocessing, ABC):
    """The map ``y = (b((x - mean) / scale) - centre) W``, in float64 unless cast.

    ``b(u) = u / (1 + (u/c)²)^(1/4)`` acts on each column: the identity near 0, and a square root
    beyond the horizon c, so that one far value does not drown all others. Its inverse is
    ``b⁻¹(v) = v √(a + √(a² + 1))`` with ``a = v²/(2c²)``. An infinite c leaves it out.

    Args:
        dim: The number of features D.
    """

    mean: Tensor  # (D,), in data units
    scale: Tensor  # (D,), positive, in data units
    horizon: Tensor  # c, a scalar
    centre: Tensor  # (D,)
    matrix: Tensor  # W, (D, D)
    inverse_matrix: Tensor  # W⁻¹, (D, D)

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        zeros, ones = np.zeros(dim), np.ones(dim)
        values = (zeros, ones, np.array(np.inf), zeros, np.eye(dim), np.eye(dim))
        names = ("mean", "scale", "horizon", "centre", "matrix", "inverse_matrix")
        for name, value in zip(names, values, strict=True):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to preprocessed rows ``(N, D)``, in the layer's dtype."""
        r = finite((x.to(self.mean) - self.mean) / self.scale)
        s = r / self.horizon
        return (r / torch.hypot(s, torch.ones_like(s)).sqrt() - self.centre) @ self.matrix

    def inverse(self, y: Tensor) -> Tensor:
        """Map preprocessed rows ``(N, D)`` to data ``(N, D)``, in the layer's dtype."""
        v = y.to(self.mean) @ self.inverse_matrix + self.centre
        a = 0.5 * (v / self.horizon).square()
        return v * (a + torch.hypot(a, torch.ones_like(a))).sqrt() * self.scale + self.mean

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂y/∂x|`` of each row of data ``(N, D)``, ``(N,)``."""
        s = finite((x.to(self.mean) - self.mean) / self.scale) / self.horizon
        one = torch.ones_like(s)  # log(1 + s²) as 2 log hypot(1, s), where no square overflows
        slope = 2 * torch.hypot(s * 0.5**0.5, one).log() - 2.5 * torch.hypot(s, one).log()
        return (slope - self.scale.log()).sum(dim=1) + torch.linalg.slogdet(self.matrix).logabsdet


class _Whitening(Linear, ABC):
    """A map that takes out a share of the covariances, in units of the columns' ranges.

    Each column keeps the variance that it has in its range, so this is another map than
    `compactflow.preprocessing.decorrelation.Decorrelation` of standardised columns.
    """

    share: ClassVar[float]

    def fit(self, X: Array, *, member: int = 0) -> None:
        """Fit the map to data ``(N, D)``; see `Preprocessing.fit`."""
        from sklearn.covariance import ledoit_wolf  # it imports half of scikit-learn

        X = fence(X.astype(np.float64))
        mean = X.mean(axis=0)
        # Before whitening the range is the better unit: the shrinkage then does not blow up a
        # column that is zero in nearly every row.
        scale = spread(np.ptp(X, axis=0), mean)
        bent = bend((X - mean) / scale)
        covariance = ledoit_wolf(bent)[0]
        own = np.diag(np.diag(covariance))
        covariance = self.share * covariance + (1 - self.share) * own
        constant = np.ptp(bent, axis=0) == 0
        covariance[constant] = covariance[:, constant] = 0
        covariance[constant, constant] = 1  # so that it keeps its unit
        variance, axes = np.linalg.eigh(covariance)
        deviation = np.sqrt(variance.clip(min=_VARIANCE_FLOOR * variance.mean()))
        self.mean, self.scale = torch.from_numpy(mean), torch.from_numpy(scale)
        self.horizon = torch.ones_like(self.horizon)
        self.centre = torch.from_numpy(bent.mean(axis=0))
        self.matrix = torch.from_numpy((axes / deviation) @ axes.T)
        self.inverse_matrix = torch.from_numpy((axes * deviation) @ axes.T)


@final
class HalfWhiten(_Whitening):
    """Creates a map that bends columns beyond their range and takes out half of the covariances.

    Args:
        dim: The number of features D.

    References:
        Ledoit and Wolf (2004), *A well-conditioned estimator for large-dimensional covariance
        matrices*.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(500, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
        >>> layer = HalfWhiten(2)
        >>> layer.fit(X)
        >>> both = X, layer(torch.tensor(X)).numpy()
        >>> before, after = (abs(np.corrcoef(rows.T)[0, 1]) for rows in both)
        >>> bool(0.1 < after < before)
        True
    """

    share: ClassVar[float] = 0.5


@final
class Whiten(_Whitening):
    """Creates a map that bends columns beyond their range and decorrelates them, symmetrically.

    Args:
        dim: The number of features D.

    References:
        Ledoit and Wolf (2004), *A well-conditioned estimator for large-dimensional covariance
        matrices*.

    Examples:
        >>> X = np.random.default_rng(0).normal(size=(500, 2)) @ [[1.0, 0.9], [0.0, 0.4]]
        >>> layer = Whiten(2)
        >>> layer.fit(X)
        >>> both = X, layer(torch.tensor(X)).numpy()
        >>> before, after = (abs(np.corrcoef(rows.T)[0, 1]) for rows in both)
        >>> bool(after < 0.1 * before)
        True
    """

    share: ClassVar[float] = 1.0


@final
class Standardise(Linear):
    """Creates a map that gives every column mean 0 and standard deviation 1.

    A constant column is centred and left unscaled, so that a later deviation counts in its own
    units.

    Args:
        dim: The number of features D.

    Examples:
        >>> layer = Standardise(2)
        >>> layer.fit(np.array([[0.0, 7.0], [4.0, 7.0]]))
        >>> layer(torch.tensor([[4.0, 8.0]]))
        tensor([[1., 1.]], dtype=torch.float64)
    """

    def fit(self, X: Array, *, member: int = 0) -> None:
        """Fit the map to data ``(N, D)``; see `Preprocessing.fit`."""
        X = fence(X.astype(np.float64))
        mean = X.mean(axis=0)
        self.mean = torch.from_numpy(mean)
        self.scale = torch.from_numpy(spread(X.std(axis=0), mean))


@final
class Enclose(Linear):
    """Creates a map that moves rows to 0 and scales all columns alike, to start inside the cube.

    After any rotation without preference a row of norm r has a largest coordinate of about
    ``r min(1, √(2 ln(2D) / D))``. The scale makes that 1 for the row whose norm is larger than
    those of 95 % of all rows. So a network that begins as a rotation begins with the inliers
    inside ``[-1, 1]^D``, and no label is needed to find the scale.

    Args:
        dim: The number of features D.

    Examples:
        >>> layer = Enclose(2)
        >>> layer.fit(np.random.default_rng(0).normal(size=(1000, 2)))
        >>> x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [6.0, 0.0]])
        >>> layer(x).abs().amax(dim=1) <= 1
        tensor([ True,  True, False])
    """

    def fit(self, X: Array, *, member: int = 0) -> None:
        """Fit the map to data ``(N, D)``; see `Preprocessing.fit`."""
        X = X.astype(np.float64)
        mean = fence(X).mean(axis=0)
        norm = np.quantile(np.linalg.norm(X - mean, axis=1), _ENCLOSED)
        reach = norm * min(1.0, np.sqrt(2 * np.log(2 * self.dim) / self.dim))
        self.mean = torch.from_numpy(mean)
        self.scale = torch.from_numpy(np.broadcast_to(spread(reach, mean), self.dim).copy())


@final
class Identity(Linear):
    """Creates the map that changes nothing.

    Args:
        dim: The number of features D.

    Examples:
        >>> Identity(2)(torch.tensor([[1.0, 20.0]]))
        tensor([[ 1., 20.]], dtype=torch.float64)
    """

    def fit(self, X: Array, *, member: int = 0) -> None:
        """There is nothing to fit."""


def bend(u: Array) -> Array:
    """``u / (1 + u²)^(1/4)``: the identity near 0, a square root far out."""
    return np.asarray(u / np.sqrt(np.hypot(1, u)))
