"""From signed distances to decisions: thresholds, p-values, discoveries, explanations."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from compactflow.calibration import Calibration
from compactflow.explanation import Explanation, explain
from compactflow.flows.ensemble import Ensemble

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DecisionMixin"]

Array = NDArray[np.float64]


class DecisionMixin:
    """The decisions of a detector that has a signed distance and a calibration.

    Attributes:
        calibration_: Held-out signed distances with which new ones are compared.
        offset_: Decision threshold on `score_samples`; 0 for the natural boundary.
    """

    boundary: float | Literal["natural"] | None
    ensemble_: Ensemble
    calibration_: Calibration
    offset_: float

    @abstractmethod
    def signed_distance(self, X: ArrayLike) -> Array:
        """Signed distance of each row to the support's boundary, ``(N,)``: negative inside."""

    @abstractmethod
    def check_rows(self, X: ArrayLike) -> Array:
        """Check that the detector is fitted and rows go with it."""

    def score_samples(self, X: ArrayLike) -> Array:
        """Minus the signed distance of each row, ``(N,)``: the higher, the more normal."""
        return -self.signed_distance(X)

    def decision_function(self, X: ArrayLike) -> Array:
        """Score of each row, ``(N,)``: ≥ 0 for inliers, < 0 for outliers, in latent units."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """1 for each inlier row and -1 for each outlier row, ``(N,)``."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: ArrayLike) -> Array:
        """Conformal p-value of each row, ``(N,)``, in (0, 1]: small for outliers.

        ``(1 + #{held-out scores ≥ score}) / (M + 1)``: the share of M held-out inliers at least
        as far out. It is never below ``1 / (M + 1)``, so small p-values need many held-out rows.
        Training does not use the rows that are held out of it, only monitors them.

        For a new inlier the p-value of a single flow is at most α with probability at most α, over
        the draw of the held-out rows and of the new one. Of an ensemble, each of whose rows is
        scored by the flows that did not see it, this holds about, as in cross-conformal
        prediction (Vovk 2015); a promise that always holds needs ``members=1``.

        Raises:
            ValueError: If no rows were held out, as the data or `validation_fraction` are small.

        References:
            Vovk, Gammerman, Shafer (2005), *Algorithmic learning in a random world*; Vovk (2015),
            *Cross-conformal predictors*.
        """
        distance = self.signed_distance(X)
        return self.calibration_.p_values(distance, rounding=self.ensemble_.rounding)

    def discoveries(self, X: ArrayLike, fdr: float = 0.1) -> NDArray[np.bool_]:
        """Which rows are outliers, such that few of these are wrong, ``(N,)``.

        Benjamini and Hochberg's procedure on the conformal p-values. The expected share of
        inliers among the discoveries is at most `fdr`, as far as `p_values` keep their promise.
        The rows are judged together, so the
        answer for one depends on the others. Finding k among N rows takes at least about
        ``N / (k fdr)`` held-out rows.

        Args:
            X: Rows, ``(N, D)``.
            fdr: The false discovery rate, in (0, 1).

        Raises:
            ValueError: If `fdr` is out of range, or as for `p_values`.

        Warns:
            CalibrationWarning: If there are none, and the held-out rows are too few to find one.

        References:
            Bates, Candès, Lei, Romano, Sesia (2023), *Testing for outliers with conformal
            p-values*.
        """
        _check_share("fdr", fdr)
        p = self.p_values(X)
        return self.calibration_.discoveries(p, float(fdr))

    def explain(self, X: ArrayLike) -> Explanation:
        """Why rows ``(N, D)`` are outliers: inliers near them, feature by feature.

        See `compactflow.explanation.explain`.

        Raises:
            ValueError: If `X` is unfit, or if the boundary leaves no inliers.
        """
        rows, names = self.check_rows(X), getattr(self, "feature_names_in_", None)
        if names is not None:
            names = [str(name) for name in names]
        return explain(self.ensemble_, -self.offset_, rows, names)

    def set_boundary(
        self,
        level: float | Literal["natural"] | None = None,
        *,
        false_positive_rate: float | None = None,
    ) -> Self:
        """Move the decision boundary of a fitted detector, without a refit.

        Args:
            level: The share of held-out inliers to keep inside, in (0, 1), or ``"natural"`` for
                the support's own boundary.
            false_positive_rate: Instead of a level, the share of inliers to take for outliers, in
                (0, 1).

        Returns:
            The detector, with `boundary` and `offset_` changed.

        Raises:
            ValueError: If not exactly one is given, or it is out of range.

        Warns:
            CalibrationWarning: If the held-out rows are too few to keep the level.
        """
        check_is_fitted(self)
        if (level is None) == (false_positive_rate is None):
            raise ValueError(
                "set_boundary takes either a level or a false_positive_rate, got "
                + ("neither" if level is None else "both")
            )
        if false_positive_rate is not None:
            _check_share("false_positive_rate", false_positive_rate)
            level = 1 - false_positive_rate
        elif level != "natural":
            _check_share("level", level)
        assert level is not None
        offset = -self.calibration_.threshold(level)
        vars(self).update(boundary=level, offset_=offset)
        self.calibration_.warn(level)
        return self


def _check_share(name: str, value: object) -> None:
    """Check that a share is a number strictly between 0 and 1."""
    try:
        check_scalar(value, name, Real, min_val=0, max_val=1, include_boundaries="neither")
    except TypeError as error:
        raise ValueError(str(error)) from error
