"""Numbers judged given their context: what is usual for this machine, at this hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from compactflow.encoding.parts import Category, Part

__all__ = ["Context"]

Array = NDArray[np.float64]

# By how many rows a group may be drawn to all others: what predicts left-out rows best is taken.
_SHRINK = (0.01, 0.1, 1.0, 10.0, 100.0)
_FAR = 4.0  # standard deviations, beyond which a number in the context counts as that far
_MOST = 256  # values of a category, the most common, that flows see


@final
@dataclass(frozen=True, kw_only=True)
class Context:
    """Centre and spread of numbers, as the context lets them expect.

    Both are ridge regressions on the context, the spread that of the logarithm of what the centre
    leaves. A category has a term for each of its values, so a rare one is drawn to the others, as
    in a random-effects model, and an unseen one has the mean. A number has itself and its square,
    a date its cycles.

    Attributes:
        parts: What the columns of the context were taken for.
        means: Of the terms but those of categories, which have 0, ``(K,)``.
        scales: Their standard deviations, with 1 for categories, ``(K,)``.
        centre: Coefficients of the centres, the constant's first, ``(1 + K, D)``.
        spread: Likewise of the logarithms of the spreads.

    References:
        Song, Wu, Jermaine, Ranka (2007), *Conditional anomaly detection*.
    """

    parts: list[Part]
    means: Array
    scales: Array
    centre: Array
    spread: Array

    @classmethod
    def fit(cls, parts: list[Part], codes: Array, values: Array) -> tuple[Context, Array]:
        """The context of training rows, and their values in it.

        Each row's value is taken by a fit without the row, so that it looks as a new one would.

        Args:
            parts: What the context's columns were taken for.
            codes: Of these, ``(N, C)``.
            values: The numbers to judge, ``(N, D)``, with NaN in gaps.
        """
        terms = _terms(parts, codes)
        plain = np.concatenate(
            [np.full(w, not isinstance(p, Category)) for p, w in _widths(parts)]
        )
        means = np.where(plain, terms.mean(axis=0), 0)
        scales = np.where(plain & (terms.std(axis=0) > 0), terms.std(axis=0), 1)
        design = np.column_stack([np.ones(len(terms)), (terms - means) / scales])
        centre, rest = _regress(design, values)
        size = np.sqrt(np.nanmean(rest**2, axis=0))
        size = np.where(size > 0, size, 1)
        spread, left = _regress(design, np.log(np.abs(rest) + 0.01 * size))
        own = np.exp(design @ spread)
        unit = np.sqrt(np.nanmean((rest / own) ** 2, axis=0))
        unit = np.where(unit > 0, unit, 1)
        spread[0] += np.log(unit)
        context = cls(parts=parts, means=means, scales=scales, centre=centre, spread=spread)
        # What a row did to the spread is taken out, too: `left` is without it.
        return context, rest / np.exp(np.log(np.abs(rest) + 0.01 * size) - left + np.log(unit))

    @property
    def categories(self) -> list[int]:
        """For each column of `carried` how many categories it has, or 0 for a number."""
        return [n for part in self.parts for n in _columns_of(part)]

    def carried(self, codes: Array) -> Array:
        """What the rows carry of their context for flows to see, ``(N, P)``, without gaps.

        Of a category it is the number of its value, or -1 for a value that is rare or was not
        there in training, and for a gap; of a number its standard score, of a date its cycles.

        Args:
            codes: Of the context, ``(N, C)``.
        """
        standard = ((_terms(self.parts, codes) - self.means) / self.scales).clip(-_FAR, _FAR)
        ends = np.cumsum([width for _, width in _widths(self.parts)])
        blocks = []
        for part, column, terms in zip(
            self.parts, codes.T, np.split(standard, ends[:-1], axis=1), strict=True
        ):
            columns = _columns_of(part)
            if isinstance(part, Category):
                place = np.nan_to_num(column, nan=-1.0)
                terms = np.where(place < columns[0], place, -1.0)[:, None]
            blocks.append(terms[:, : len(columns)])  # without squares
        return np.column_stack(blocks)

    def uncarried(self, carried: Array) -> Array:
        """The codes ``(N, C)`` of what rows carry ``(N, P)``, as far as that tells them."""
        ends = np.cumsum([width for _, width in _widths(self.parts)])
        starts = np.concatenate([[0], np.cumsum([len(_columns_of(part)) for part in self.parts])])
        codes = []
        for i, part in enumerate(self.parts):
            own = carried[:, starts[i] : starts[i + 1]]
            if isinstance(part, Category):
                codes.append(np.where(own[:, 0] < 0, np.nan, own[:, 0]))
                continue
            first = int(ends[i - 1]) if i else 0
            terms = slice(first, first + own.shape[1])
            codes.append(part.restore(own * self.scales[terms] + self.means[terms]))
        return np.column_stack(codes)

    def forward(self, codes: Array, values: Array) -> Array:
        """Values ``(N, D)`` in a context with the codes ``(N, C)``: how far off, in its spread."""
        design = self._design(codes)
        return (values - design @ self.centre) / np.exp(design @ self.spread)

    def inverse(self, codes: Array, values: Array) -> Array:
        """The numbers whose values in the context these are, ``(N, D)``."""
        design = self._design(codes)
        return values * np.exp(design @ self.spread) + design @ self.centre

    def to_plain(self) -> dict[str, Any]:
        """Its numbers, in values that JSON has."""
        names = ("means", "scales", "centre", "spread")
        return {name: getattr(self, name).tolist() for name in names}

    @classmethod
    def of_plain(cls, parts: list[Part], plain: Mapping[str, Any], dim: int) -> Context:
        """What `to_plain` has written, of D numbers.

        Raises:
            ValueError: If it is not that.
        """
        width = sum(w for _, w in _widths(parts))
        shapes: dict[str, tuple[int, ...]] = {"means": (width,), "scales": (width,)}
        shapes |= dict.fromkeys(("centre", "spread"), (1 + width, dim))
        found = {name: np.array(plain[name], dtype=np.float64) for name in shapes}
        for name, shape in shapes.items():
            if found[name].shape != shape or not np.isfinite(found[name]).all():
                raise ValueError(f"{name} of the context is not {shape} finite numbers")
        return cls(parts=parts, **found)

    def _design(self, codes: Array) -> Array:
        terms = (_terms(self.parts, codes) - self.means) / self.scales
        return np.column_stack([np.ones(len(codes)), terms])


def _columns_of(part: Part) -> list[int]:
    if isinstance(part, Category):
        return [min(len(part.levels), _MOST)]
    return [0] * part.features(np.zeros(1)).shape[1]


def _terms(parts: Sequence[Part], codes: Array) -> Array:
    """What the regressions see, ``(N, K)``; a gap is at the mean, or in no group."""
    blocks = []
    for part, column in zip(parts, codes.T, strict=True):
        if isinstance(part, Category):
            blocks.append((column[:, None] == np.arange(len(part.levels))).astype(np.float64))
            continue
        block = part.features(column)
        if part.kind == "number":
            block = np.column_stack([block, block**2])
        known = np.isfinite(block)
        mean = np.where(known, block, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        blocks.append(np.where(known, block, mean))
    return np.column_stack(blocks)


def _widths(parts: Sequence[Part]) -> list[tuple[Part, int]]:
    return [(part, _terms([part], np.zeros((1, 1))).shape[1]) for part in parts]


def _regress(design: Array, values: Array) -> tuple[Array, Array]:
    """Ridge regression of each column; coefficients, and what a fit without the row leaves."""
    coefficients = np.empty((design.shape[1], values.shape[1]))
    rest = np.full_like(values, np.nan)
    for j, column in enumerate(values.T):
        known = ~np.isnan(column)
        fits = [_ridge(design[known], column[known], shrink) for shrink in _SHRINK]
        coefficients[:, j], rest[known, j] = min(fits, key=lambda fit: float(fit[1] @ fit[1]))
    return coefficients, rest


def _ridge(design: Array, column: Array, shrink: float) -> tuple[Array, Array]:
    penalty = np.diag([0.0, *[shrink] * (design.shape[1] - 1)])
    inverse = np.linalg.pinv(design.T @ design + penalty)
    coefficients = inverse @ (design.T @ column)
    leverage = ((design @ inverse) * design).sum(axis=1).clip(max=0.999)
    return coefficients, (column - design @ coefficients) / (1 - leverage)
