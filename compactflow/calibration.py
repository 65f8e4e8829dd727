"""Held-out scores of inliers, and what they say of new scores: thresholds and p-values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from compactflow.flows.ensemble import Ensemble
from compactflow.training.holdout import HoldOut

__all__ = ["Calibration", "calibrate"]

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Calibration:
    """Scores of inliers with which new scores are compared.

    Attributes:
        scores: Signed distances, ``(M,)``, ascending.
        held_out: Whether training did not see these rows; what is said of new inliers is
            optimistic where it did.
    """

    scores: Array
    held_out: bool

    @classmethod
    def of(cls, scores: Array, *, held_out: bool) -> Calibration:
        """From scores ``(M,)`` in any order."""
        return cls(np.sort(scores), held_out)

    def threshold(self, boundary: float | str) -> float:
        """The signed distance up to which a point counts as an inlier.

        Args:
            boundary: A level in (0, 1), the share of inliers to keep, or ``"natural"`` for 0, the
                support's own boundary.

        Returns:
            For a level, the conformal quantile (Vovk, Gammerman, Shafer 2005): new inliers are
            inside with at least that probability, of an ensemble about that (see
            `DecisionMixin.p_values`), unless M is too small for it (M < level / (1 - level)).

        Raises:
            ValueError: If there are no scores, for a level.
        """
        if boundary == "natural":
            return 0.0
        if not len(self.scores):
            raise ValueError(
                "a level needs the scores of inliers, and this detector was saved by a version "
                "that did not keep them: fit it again, or take boundary='natural'"
            )
        level = min(1.0, float(boundary) * (1 + 1 / len(self.scores)))
        quantile = float(np.quantile(self.scores, level, method="higher"))
        # The quantile is one of the rows: rounding must not throw that row out.
        return quantile + 1e-9 * max(1.0, abs(quantile))

    def p_values(self, scores: Array) -> Array:
        """Conformal p-values of scores ``(N,)``: ``(1 + #{calibration ≥ score}) / (M + 1)``.

        Raises:
            ValueError: If no rows were held out, as p-values would then mean nothing.
        """
        if not self.held_out:
            raise ValueError(
                "p-values need inliers that were held out of training, and there were none: fit "
                "on more rows or with a larger validation_fraction (it takes 5 held-out rows)"
            )
        at_least = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        return (1 + at_least) / (len(self.scores) + 1)


def calibrate(ensemble: Ensemble, data: Array, hold_out: HoldOut) -> Calibration:
    """Score rows by the flows that were not trained on them, as a mean if there are several.

    Args:
        ensemble: The trained flows.
        data: The rows, ``(N, D)``.
        hold_out: Which of them trained which flow, its first layer included.
    """
    sums, counts = np.zeros((2, len(data)))
    for m, rows in enumerate(hold_out.judging_rows().T.numpy()):
        sums[rows] += ensemble.member_distances(data[rows], m)
        counts[rows] += 1
    scored = counts > 0
    return Calibration.of(sums[scored] / counts[scored], held_out=hold_out.each > 0)
