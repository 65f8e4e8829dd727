"""Thresholds and p-values for new scores, from the scores of held-out inliers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, false_discovery_control

__all__ = ["Boundary", "Calibration", "CalibrationWarning"]

Array = NDArray[np.float64]

# A level, or the boundary of the latent's own support: with a scale, or as training left it.
Boundary: TypeAlias = float | Literal["natural", "bare"]

_ROUNDING = 1e-9  # of a score of float64, where it is above 1: rows that differ by less are tied

_CONFIDENCE = 0.9


class CalibrationWarning(UserWarning):
    """There are too few held-out rows for the level or rate that was asked for."""


@final
@dataclass(frozen=True)
class Calibration:
    """Scores of inliers with which new scores are compared.

    Attributes:
        scores: Signed distances, ``(M,)``, ascending.
        held_out: Whether training did not see these rows. If it saw them, thresholds and p-values
            are optimistic for new inliers.

    Examples:
        >>> import numpy as np
        >>> calibration = Calibration.of(np.array([3.0, 1.0, 2.0, 4.0]), held_out=True)
        >>> calibration.p_values(np.array([0.0, 2.5, 9.0]))
        array([1. , 0.6, 0.2])
        >>> calibration.describe(calibration.threshold(0.5))
        '75.0% of 4 held-out rows are inside'
        >>> calibration.expect(calibration.threshold(0.5))
        '24.9% to 98.7% of them are inside, with 90% confidence'
    """

    scores: Array
    held_out: bool

    @classmethod
    def of(cls, scores: Array, *, held_out: bool, weights: Array | None = None) -> Calibration:
        """From scores ``(M,)`` in any order.

        Args:
            scores: The scores.
            held_out: Whether training did not see their rows.
            weights: How much each counts, ``(M,)``, positive. As many scores as that is worth,
                ``(Σ w)² / Σ w²``, are kept, at even steps of the summed weights. So ranks are
                weighted (Tibshirani et al. 2019, *Conformal prediction under covariate shift*).
        """
        order = np.argsort(scores, kind="stable")
        if weights is None:
            return cls(scores[order], held_out)
        sums = np.cumsum(weights[order])
        worth = int(sums[-1] ** 2 / np.square(weights).sum() + _ROUNDING)
        steps = np.arange(1, worth + 1) / worth * sums[-1]
        return cls(scores[order][np.searchsorted(sums, steps * (1 - _ROUNDING))], held_out)

    def without(self, share: float) -> Calibration:
        """The same without the highest scores, where they are taken to be of outliers.

        Args:
            share: Of the scores, in [0, 1), rounded down.
        """
        kept = len(self.scores) - int(share * len(self.scores) + _ROUNDING)
        return Calibration(self.scores[:kept], self.held_out)

    def threshold(self, boundary: Boundary) -> float:
        """The score up to which a point counts as an inlier.

        Args:
            boundary: A level in (0, 1), the share of inliers to keep, or ``"natural"`` or
                ``"bare"`` for 0, the latent's own boundary.

        Returns:
            For a level, the conformal quantile (Vovk, Gammerman, Shafer 2005). A new inlier is
            inside with at least that probability; for an ensemble, with about that probability
            (see `p_values`). M must be at least ``level / (1 - level)``.

        Raises:
            ValueError: If there are no scores, for a level.
        """
        if isinstance(boundary, str):
            return 0.0
        if not len(self.scores):
            raise ValueError(
                "a level needs the scores of inliers, and this detector was saved by a version "
                "that did not keep them: fit it again, or take boundary='bare'"
            )
        level = min(1.0, float(boundary) * (1 + 1 / len(self.scores)))
        quantile = float(np.quantile(self.scores, level, method="higher"))
        # The quantile is one of the rows: rounding must not throw that row out.
        return quantile + float(_slack(quantile, _ROUNDING))

    def caveat(self, boundary: Boundary) -> str | None:
        """What a boundary does not promise, as a sentence; ``None`` if it keeps its level.

        Args:
            boundary: As for `threshold`.
        """
        rows = len(self.scores)
        if isinstance(boundary, str) or not rows:
            return None
        level = float(boundary)
        if not self.held_out:
            return (
                f"the boundary at {level:.6g} is placed by {rows} training rows, as none were "
                "held out, so fewer new inliers may lie inside; fit on more rows or with a larger "
                "validation_fraction (it takes 5 held-out rows)"
            )
        if level * (rows + 1) <= rows + _ROUNDING:
            return None
        return (
            f"a boundary at {level:.6g} takes {ceil(level / (1 - level) - _ROUNDING)} held-out "
            f"rows and there are {rows}: it lies at the furthest of them, which promises only "
            f"that {rows / (rows + 1):.1%} of new inliers are inside; fit on more rows, with a "
            "larger validation_fraction, or take a lower level"
        )

    def warn(self, boundary: Boundary) -> None:
        """Give the caveat of a boundary, if there is one, as a `CalibrationWarning`."""
        caveat = self.caveat(boundary)
        if caveat:
            warnings.warn(caveat, CalibrationWarning, stacklevel=3)

    def describe(self, threshold: float) -> str:
        """How many of the rows lie inside a threshold, in words."""
        if not len(self.scores):
            return "no scores of inliers were kept"
        rows = f"{len(self.scores)} " + ("held-out" if self.held_out else "training") + " rows"
        end = "" if self.held_out else ", as none were held out"
        return f"{np.mean(self.scores <= threshold):.1%} of {rows} are inside{end}"

    def bounds(self, threshold: float) -> tuple[float, float] | None:
        """The share of new inliers inside a threshold, from and to, with 90 % confidence.

        With k of M held-out rows inside, the share inside a threshold at the k-th score follows
        the Beta distribution with parameters k and M + 1 - k over the draw of these rows. The
        bounds also hold for a threshold that lies between two scores (Clopper, Pearson 1934). Of
        an ensemble they hold about, as p-values do.

        Returns:
            The bounds, or ``None`` if no rows were held out.

        References:
            Vovk (2012), *Conditional validity of inductive conformal predictors*.
        """
        rows = len(self.scores)
        if not self.held_out or not rows:
            return None
        inside = int(np.sum(self.scores <= threshold))
        tail = (1 - _CONFIDENCE) / 2
        low = beta.ppf(tail, inside, rows - inside + 1) if inside else 0.0
        high = beta.ppf(1 - tail, inside + 1, rows - inside) if inside < rows else 1.0
        return float(low), float(high)

    def expect(self, threshold: float) -> str:
        """What share of new inliers lies inside a threshold, in words."""
        bounds = self.bounds(threshold)
        if bounds is None:
            return "nothing is known of them, as no rows were held out"
        low, high = bounds
        return f"{low:.1%} to {high:.1%} of them are inside, with {_CONFIDENCE:.0%} confidence"

    def check_held_out(self, what: str) -> None:
        """Check that training did not see the rows, as `what` needs.

        Raises:
            ValueError: If it did.
        """
        if not self.held_out:
            raise ValueError(
                f"{what} need inliers that were held out of training, and there were none: fit "
                "on more rows or with a larger validation_fraction (it takes 5 held-out rows)"
            )

    def p_values(self, scores: Array, *, rounding: float = _ROUNDING) -> Array:
        """Conformal p-values of scores ``(N,)``, in (0, 1]: small for outliers.

        ``(1 + #{held-out scores ≥ score}) / (M + 1)``: the share of M held-out inliers at least
        as far out. It is never below ``1 / (M + 1)``, so small p-values need many held-out rows.
        Training is monitored on the held-out rows, but learns nothing from them.

        For a new inlier the p-value of a single flow is at most α with probability at most α, over
        the draw of the held-out rows and of the new one. Of an ensemble, each of whose rows is
        scored by the flows that did not see it, this holds about, as in cross-conformal
        prediction (Vovk 2015); a promise that always holds needs ``members=1``.

        Args:
            scores: Signed distances of new rows.
            rounding: Scores that differ by less than this, as a share of those above 1, are
                equal. The same row may score a little differently in another batch.

        Raises:
            ValueError: If no rows were held out, as p-values would then mean nothing.

        References:
            Vovk, Gammerman, Shafer (2005), *Algorithmic learning in a random world*; Vovk (2015),
            *Cross-conformal predictors*.
        """
        self.check_held_out("p-values")
        least = scores - _slack(scores, rounding)
        at_least = len(self.scores) - np.searchsorted(self.scores, least, side="left")
        return (1 + at_least) / (len(self.scores) + 1)

    def discoveries(self, p: Array, fdr: float) -> NDArray[np.bool_]:
        """Which of N p-values are discoveries at a false discovery rate, ``(N,)``.

        Benjamini and Hochberg's procedure. The expected share of inliers among the discoveries is
        at most `fdr`, as far as `p_values` keep their promise. Finding k among N rows takes at
        least about ``N / (k fdr)`` held-out rows.

        Args:
            p: The p-values, ``(N,)``.
            fdr: The rate, in (0, 1).

        Warns:
            CalibrationWarning: If there are none, and the held-out rows are too few to find one.

        References:
            Bates, Candès, Lei, Romano, Sesia (2023), *Testing for outliers with conformal
            p-values*.
        """
        found = np.asarray(false_discovery_control(p) <= fdr * (1 + _ROUNDING))
        least = ceil(len(p) / (fdr * (len(self.scores) + 1)) - _ROUNDING)
        if not found.any() and least > 1:
            those = f"fewer than {least} of" if least <= len(p) else "any of"
            warnings.warn(
                f"no discoveries: fdr={fdr:.6g} cannot find {those} {len(p)} rows with "
                f"{len(self.scores)} held-out rows; finding one takes "
                f"{ceil(len(p) / fdr - _ROUNDING) - 1}",
                CalibrationWarning,
                stacklevel=3,
            )
        return found


def _slack(scores: Array | float, rounding: float) -> Array:
    return rounding * np.maximum(1.0, np.abs(scores))
