"""Scores, decisions and p-values of a fitted detector, in scikit-learn's conventions."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from compactflow.detector.calibration import Boundary, Calibration
from compactflow.detector.drift import Monitor
from compactflow.detector.explanation import Explanation, explain
from compactflow.detector.following import Following
from compactflow.detector.held_out import natural_share, require_support
from compactflow.detector.saving import export_graph
from compactflow.detector.settings import Settings, check_share
from compactflow.detector.transforming import EnsembleTransformer
from compactflow.detector.updating import rejudge, update
from compactflow.encoding.frames import as_arrow
from compactflow.flows.ensemble import Ensemble

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EnsembleDetector"]

Array = NDArray[np.float64]


class EnsembleDetector(OutlierMixin, EnsembleTransformer):
    """A detector that judges rows by a fitted ensemble: a subclass fits it.

    Attributes:
        calibration_: Held-out signed distances with which new ones are compared.

    Examples:
        `OneClassFlow` is one:

        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = OneClassFlow(max_steps=5, members=1, random_state=0).fit(X)
        >>> detector.set_boundary(false_positive_rate=0.2).boundary
        0.8
        >>> bool((detector.decision_function(X) >= 0).mean() > 0.6)
        True
    """

    calibration_: Calibration
    settings_: Settings
    boundary: Boundary | None

    @property
    def offset_(self) -> float:
        """Decision threshold on `score_samples`: 0, as the signed distance has the boundary."""
        check_is_fitted(self)
        return 0.0

    def signed_distance(self, X: ArrayLike) -> Array:
        """Signed distance of each row to the boundary, ``(N,)``: at most 0 for inliers.

        With ``boundary="natural"`` or ``"bare"`` it is the mean over the flows of the distance to
        the latent's support (Schmier et al. 2024, eq. 2-4), in latent units. With a level, the
        boundary is that of a larger or smaller support, which holds so many inliers. With
        ``score_by="neighbours"`` the unit is the difference between the distance within which 95 %
        of the inliers lie and their median distance: see
        `compactflow.flows.nearness.Nearness`.
        """
        rows = self.check_rows(X)  # asks first whether it is fitted
        return self.ensemble_.signed_distance(rows)

    def log_density(self, X: ArrayLike) -> Array:
        """Log-density of each row in nats, up to a constant of the pull, ``(N,)``.

        It is the density of the mixture of the flows, in equal shares. For a single flow its
        negative is the loss of the likelihood push.
        """
        rows = self.check_rows(X)
        return self.ensemble_.log_density(rows)

    def score_samples(self, X: ArrayLike) -> Array:
        """Minus the signed distance of each row, ``(N,)``: the higher, the more normal."""
        return -self.signed_distance(X)

    def decision_function(self, X: ArrayLike) -> Array:
        """Score of each row, ``(N,)``: ≥ 0 for inliers, < 0 for outliers: minus the distance."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """1 for each inlier row and -1 for each outlier row, ``(N,)``."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def p_values(self, X: ArrayLike) -> Array:
        """Conformal p-value of each row, ``(N,)``: see `Calibration.p_values`.

        Raises:
            ValueError: If no rows were held out, because there are few or `validation_fraction` is
                small.
        """
        scores = self.signed_distance(X) + self.ensemble_.level
        return self.calibration_.p_values(scores, rounding=self.ensemble_.rounding)

    def discoveries(self, X: ArrayLike, fdr: float = 0.1) -> NDArray[np.bool_]:
        """Which rows are outliers, such that few of these are wrong, ``(N,)``.

        See `Calibration.discoveries`. The rows are judged together, so the answer for one depends
        on the others.

        Args:
            X: Rows, ``(N, D)``.
            fdr: The false discovery rate, in (0, 1).

        Raises:
            ValueError: If `fdr` is out of range, or as for `p_values`.

        Warns:
            CalibrationWarning: If there are none, and the held-out rows are too few to find one.
        """
        check_share("fdr", fdr)
        return self.calibration_.discoveries(self.p_values(X), float(fdr))

    def monitor(self, *, seed: int = 0) -> Monitor:
        """Start to watch rows that come one after the other for a change.

        Of rows that are seen with their past those count that share no window.

        Args:
            seed: Of the chance that settles ties.

        Raises:
            ValueError: If no rows were held out, because there are few or `validation_fraction` is
                small.
        """
        check_is_fitted(self)
        self.calibration_.check_held_out("watches")

        encoder = self.encoder_

        def score(X: ArrayLike) -> Array:  # whatever the boundary
            scores = self.signed_distance(X) + self.ensemble_.level
            if encoder is None or encoder.windows is None:
                return scores
            return scores[encoder.windows.apart(as_arrow(X))]  # others tell the same again

        return Monitor(score, self.calibration_.scores, seed=seed)

    def follow(self, rows: int = 200) -> Following:
        """Start to judge a drifting series by a boundary that follows its rows: see `Following`.

        Raises:
            ValueError: As `Following`, or if no rows were held out.
        """
        self.calibration_.check_held_out("boundaries that follow rows")
        known = self.calibration_.scores - self.ensemble_.level
        return Following(self.signed_distance, known, self._promised(), rows=rows)

    def explain(self, X: ArrayLike) -> Explanation:
        """Why rows ``(N, D)`` are outliers: see `compactflow.detector.explanation.explain`.

        Raises:
            ValueError: If `X` is unfit, or if the boundary leaves no inliers.
        """
        rows = self.check_rows(X)
        encoder = self.encoder_
        table = None if encoder is None else encoder.prepare(as_arrow(X))
        return explain(self.ensemble_, rows, self.names_, encoder=encoder, table=table)

    @abstractmethod
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train on inliers."""

    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn from later inliers, without training anew; an unfitted detector is fitted.

        They become reference rows of the score by neighbours, the earliest of which go where there
        are too many, and some are held out and join those that place the boundary.

        Args:
            X: Later inliers, ``(N, D)``.
            y: As in `fit`, where this is the first call; later ignored.

        Raises:
            ValueError: If the rows do not go with the detector, or it has no reference rows.
        """
        if not hasattr(self, "ensemble_"):
            return self.fit(X, y)
        rows = self.check_rows(X)
        if self.encoder_ is None or self.encoder_.windows is None:  # whose rows stay in order
            rows = check_random_state(0).permutation(rows)
        ensemble, calibration = update(self.ensemble_, self.calibration_, rows)
        return self._place(ensemble, calibration)

    def recalibrate(self, X: ArrayLike) -> Self:
        """Place the boundary and p-values by rows that are inliers now, and by these alone.

        It is for a normal that has moved, as `monitor` tells. The rows must not have trained the
        detector. With the natural boundary latents are scaled anew.

        Args:
            X: Rows, ``(N, D)``.

        Warns:
            CalibrationWarning: If they are too few to keep the level.
        """
        rows = self.check_rows(X)
        return self._place(*rejudge(self.ensemble_, rows, self._chosen))

    def _place(self, ensemble: Ensemble, calibration: Calibration) -> Self:
        """Take flows with another calibration, by which the boundary is placed anew."""
        moved = ensemble.at(calibration.threshold(self._chosen))
        self.__dict__.update(ensemble_=moved, calibration_=calibration)
        calibration.warn(self._promised())
        return self

    @property
    def _chosen(self) -> Boundary:
        return self.settings_.boundary if self.boundary is None else self.boundary

    def _promised(self) -> Boundary:
        """The share that the boundary is to keep, or the word for one that promises nothing."""
        return natural_share(self._chosen, self.ensemble_) or self._chosen

    def set_boundary(
        self,
        level: Boundary | None = None,
        *,
        false_positive_rate: float | None = None,
    ) -> Self:
        """Move the decision boundary of a fitted detector, without a refit.

        Args:
            level: The share of held-out inliers to keep inside, in (0, 1); or for the
                latent's own boundary ``"natural"``, if the fit has scaled latents, or ``"bare"``.
            false_positive_rate: Instead of a level, the share of inliers to take for outliers, in
                (0, 1).

        Returns:
            The detector, with the boundary moved.

        Raises:
            ValueError: If not exactly one is given, if it is out of range, or if the detector
                was not fitted for such a boundary.

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
            level = 1 - check_share("false_positive_rate", false_positive_rate)
        elif level not in ("natural", "bare"):
            level = check_share("level", level)
        assert level is not None
        if isinstance(level, str):
            require_support(self.ensemble_, level)
        moved = self.ensemble_.at(self.calibration_.threshold(level))
        self.__dict__.update(boundary=level, ensemble_=moved)
        self.calibration_.warn(level)
        return self

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the detector as one graph, from raw rows to scores, for production.

        A path that ends in ``.onnx`` gives an ONNX model, one in ``.pt2`` a program for
        ``torch.export.load``: see `compactflow.exporting.files.export`.

        Raises:
            sklearn.exceptions.NotFittedError: If the detector is not fitted.
            ValueError: If the suffix is another, if a component cannot be exported, or if the
                detector was fitted on a table with other than numbers.
            ImportError: If ``compactflow[onnx]`` is not installed.
        """
        check_is_fitted(self)
        export_graph(self, path)
