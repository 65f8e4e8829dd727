"""The first layer for tables: each column towards a normal shape, then decorrelated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from compactflow.preprocessing.base import Preprocessing, fence, finite, is_constant, spread
from compactflow.preprocessing.decorrelation import Decorrelation
from compactflow.preprocessing.joined import JoinedColumns, join_decorrelations
from compactflow.preprocessing.linear import bend

__all__ = ["Marginal"]

Array = NDArray[np.float64]

_HEAVY = 3.0  # the excess kurtosis above which a column has heavy tails
# What each of four flows sees: the share of w that counts, and of the correlations taken out.
_VIEWS = ((1.0, 0.5), (0.0, 0.5), (1.0, 0.0), (1.0, 0.9))
_STEP = 1e-6  # the least rise between two knots, in standard deviations
_WIDE = 50  # columns, from which on they may share a unit
_ALIKE = 2.0  # the standard deviation of the logarithms of their deviations, below which they do
_LARGEST = 20.0  # a column's deviation, in the median one's: beyond are wild values


@final
class Marginal(Preprocessing):
    """Creates a strictly increasing map of each column, followed by half-whitening.

    Counts, codes, ties, zeros and heavy tails make a column's plain values a poor measure of how
    unusual they are. A column is mapped to ``w Φ⁻¹(F(x)) + (1 - w) b(x)``, a mean of its normal
    scores and of its values, bent beyond the range. Here F is the share of the training rows
    below, a tie counting half, and w is large where the column has heavy tails, by its excess
    kurtosis. Between at most `knots` values the map is linear; beyond the last it grows as a
    square root, so that a new value stays apart from the known ones, however far. Then the columns
    are standardised and half of their correlations taken out.

    The flows of an ensemble see four views in turn: this one, one with ``w = 0``, as normal scores
    close gaps and an outlier may lie in one, one with all correlations, and one with a tenth of
    them, so that their mistakes differ.

    From 50 columns on, if their standard deviations are alike, the columns share a unit, as those
    of embeddings, pixels and spectra do: they are left as they are, all divided by one number.
    A unit for each would enlarge the columns that tell least.

    Args:
        dim: The number of features D.
        light: w of columns with light tails, in [0, 1).
        heavy: w of columns with heavy tails, in [0, 1).
        knots: Values of a column at which the map may change its slope, at least 2.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Van der Waerden (1952), *Order tests for the two-sample problem and their power* (normal
        scores); Ledoit and Wolf (2004), *A well-conditioned estimator for large-dimensional
        covariance matrices*.

    Examples:
        >>> counts = np.random.default_rng(0).poisson(1.0, size=(500, 2))
        >>> layer = Marginal(2)
        >>> layer.fit(counts)
        >>> x = torch.tensor(counts[:5]).double()
        >>> bool(torch.allclose(layer.inverse(layer(x)), x))
        True
    """

    knots: Tensor  # (D, K), ascending, in data units; infinite where a column has fewer
    heights: Tensor  # (D, K), the column's map there
    unit: Tensor  # (D,), of the tails, in data units

    def __init__(
        self, dim: int, *, light: float = 0.2, heavy: float = 0.9, knots: int = 64
    ) -> None:
        super().__init__(dim)
        for name, weight in (("light", light), ("heavy", heavy)):
            if not 0 <= weight < 1:
                raise ValueError(f"{name} must be in [0, 1), got {weight}")
        if knots < 2:
            raise ValueError(f"knots must be at least 2, got {knots}")
        self.light = light
        self.heavy = heavy
        shape = (dim, knots)
        self.register_buffer("knots", torch.full(shape, torch.inf, dtype=torch.float64))
        self.register_buffer("heights", torch.full(shape, torch.inf, dtype=torch.float64))
        self.knots[:, :2] = self.heights[:, :2] = torch.tensor([-1.0, 1.0])
        self.register_buffer("unit", torch.ones(dim, dtype=torch.float64))
        self.decorrelation = Decorrelation(dim)

    def fit(self, X: Array, *, member: int = 0) -> None:
        """Fit the map to data ``(N, D)``; see `Preprocessing.fit`."""
        X = fence(X.astype(np.float64))
        shown, decorrelated = _VIEWS[member % len(_VIEWS)]
        shared = _find_common_unit(X)
        if shared is None:
            unit, sizes = spread(X.std(axis=0), X.mean(axis=0)), np.ones(self.dim)
            excess = (((X - X.mean(axis=0)) / unit) ** 4).mean(axis=0) - 3
            weights = np.where(excess > _HEAVY, self.heavy, self.light) * shown
        else:
            (unit, sizes), weights = shared, np.zeros(self.dim)
        self.unit = torch.from_numpy(unit)
        for j, column in enumerate(X.T):
            knots, heights = _curve(column, unit[j], float(weights[j]), self.knots.shape[1])
            self.knots[j] = self.heights[j] = torch.inf
            self.knots[j, : len(knots)] = torch.from_numpy(knots)
            self.heights[j, : len(knots)] = torch.from_numpy(heights * sizes[j])
        self.decorrelation.fit(self._columns(torch.from_numpy(X)).numpy(), decorrelated)

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to preprocessed rows ``(N, D)``, in the layer's dtype."""
        return self.decorrelation(self._columns(x.to(self.unit)))

    @classmethod
    def joined(cls, layers: Sequence[Preprocessing]) -> Callable[[Tensor], Tensor]:
        """See `Preprocessing.joined`; here the knots of all are sought at once."""
        own = cast("list[Marginal]", list(layers))
        columns = JoinedColumns(
            [layer.knots for layer in own],
            [layer.heights for layer in own],
            [layer.unit for layer in own],
        )
        mix = join_decorrelations([layer.decorrelation for layer in own])
        return lambda x: mix(columns(x.to(own[0].unit)))

    def inverse(self, y: Tensor) -> Tensor:
        """Map preprocessed rows ``(N, D)`` to data ``(N, D)``, in the layer's dtype."""
        h = self.decorrelation.inverse(y.to(self.unit)).T
        left, right, inside = self._segments(h, self.heights)
        low, high = self.heights.gather(1, left), self.heights.gather(1, right)
        start, end = self.knots.gather(1, left), self.knots.gather(1, right)
        beyond = h - inside
        # τ(u) = √(1 + 2u) - 1 has the inverse u = τ + τ²/2.
        tail = beyond * (1 + beyond.abs() / 2) * self.unit[:, None]
        return (start + (inside - low) * ((end - start) / (high - low)) + tail).T

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂y/∂x|`` of each row of data ``(N, D)``, ``(N,)``."""
        x = x.to(self.unit).T
        left, right, inside = self._segments(x, self.knots)
        rise = self.heights.gather(1, right) - self.heights.gather(1, left)
        run = self.knots.gather(1, right) - self.knots.gather(1, left)
        u = finite((x - inside) / self.unit[:, None]).abs()
        tail = -self.unit.log()[:, None] - torch.log1p(2 * u) / 2
        slope = torch.where(u > 0, tail, (rise / run).log())
        return slope.sum(dim=0) + self.decorrelation.log_abs_det()

    def _columns(self, x: Tensor) -> Tensor:
        """The maps of the columns, ``(N, D)``."""
        x = x.T
        left, right, inside = self._segments(x, self.knots)
        low, high = self.heights.gather(1, left), self.heights.gather(1, right)
        start, end = self.knots.gather(1, left), self.knots.gather(1, right)
        u = finite((x - inside) / self.unit[:, None])
        # √(1 + 2u) - 1, without the cancellation for small u
        tail = 2 * u / (1 + (1 + 2 * u.abs()).sqrt())
        return (low + (inside - start) * ((high - low) / (end - start)) + tail).T

    def _segments(self, v: Tensor, ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For values ``(D, N)`` the knots on either side, and the values drawn in to all knots."""
        count = ends.isfinite().sum(dim=1, keepdim=True)
        inside = v.clamp(ends[:, :1], ends.gather(1, count - 1))
        found = torch.searchsorted(ends, inside.contiguous())
        right = found.clamp(min=1).minimum(count - 1)
        return right - 1, right, inside


def _find_common_unit(X: Array) -> tuple[Array, Array] | None:
    """The unit that columns ``(N, D)`` share, if they are many and alike, and each one's size.

    A column of a wild value has a larger unit, so that it does not drown the others.

    Returns:
        In data units, ``(D,)``; and the columns' deviations in it, 1 for a constant one, ``(D,)``.
    """
    deviation = X.std(axis=0)
    varying = ~is_constant(deviation, X.mean(axis=0))
    some = deviation[varying]
    if len(some) < _WIDE or np.log(some).std() >= _ALIKE:
        return None
    unit = np.maximum(np.median(some), deviation / _LARGEST)
    sizes = np.where(varying, deviation / unit, 1.0)
    size = np.sqrt((sizes[varying] ** 2).mean())
    return unit * size, np.where(varying, sizes / size, 1.0)


def _curve(column: Array, unit: float, weight: float, most: int) -> tuple[Array, Array]:
    """Knots of a column and the heights of its map there, standardised over the column.

    Args:
        column: ``(N,)``.
        unit: Its standard deviation, or 1 if it is constant.
        weight: w.
        most: Knots at most.
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) == 1:  # a later deviation counts in its own units
        return values + np.array([-unit, unit]), np.array([-1.0, 1.0])
    scores = ndtri((np.cumsum(counts) - counts / 2) / len(column))
    if len(values) > most:
        wanted = np.searchsorted(scores, np.linspace(scores[0], scores[-1], most))
        some = np.unique(wanted.clip(max=len(values) - 1))
        values, scores = values[some], scores[some]
    centre = column.mean()
    plain = bend((values - centre) / np.ptp(column))
    plain /= bend((column - centre) / np.ptp(column)).std()
    heights = weight * scores + (1 - weight) * plain
    mapped = np.interp(column, values, heights)
    heights = (heights - mapped.mean()) / mapped.std()
    kept = [0]
    for k in range(1, len(heights)):  # values too close to tell apart share a knot
        if heights[k] - heights[kept[-1]] > _STEP:
            kept.append(k)
    return values[kept], heights[kept]
