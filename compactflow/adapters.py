"""Detectors in the conventions of other libraries."""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from compactflow.detector.estimator import OneClassFlow

try:
    from pyod.models.base import BaseDetector
except ImportError as error:
    raise ImportError(
        "compactflow.adapters needs PyOD, which is not installed: pip install pyod"
    ) from error

__all__ = ["PyODDetector"]


@final
class PyODDetector(BaseDetector):
    """A detector as PyOD's code expects it: scores rise with outlyingness, labels are 0 and 1.

    ``decision_function`` is the signed distance, and ``predict`` gives 1 for rows beyond
    ``threshold_``, the quantile of the training scores that PyOD derives from `contamination`.
    So the rows may hold outliers, where `OneClassFlow` is made for inliers alone; its own
    calibrated boundary is that of the attribute ``detector_``. The rest is PyOD's own code.

    Args:
        detector: An unfitted detector, which a fit clones; if not given the default one that
            scores by the support, as PyOD scores the training rows, each its own neighbour.
        contamination: Share of outliers among the training rows, in (0, 0.5].

    Attributes:
        detector_: The fitted `OneClassFlow`.
        decision_scores_: Signed distances of the training rows, ``(N,)``.
        threshold_: The score above which a row is an outlier.
        labels_: 1 for the outliers among the training rows, else 0, ``(N,)``.

    Raises:
        ValueError: If `contamination` is out of range.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(100, 2))
        >>> detector = PyODDetector(OneClassFlow(max_steps=5, members=1, random_state=0))
        >>> detector.fit(X).predict([[0.0, 0.0], [50.0, 50.0]])
        array([0, 1])

    References:
        Zhao, Nasrullah, Li (2019), *PyOD: a Python toolbox for scalable outlier detection*.
    """

    detector_: OneClassFlow
    decision_scores_: NDArray[np.float64]
    threshold_: float
    labels_: NDArray[np.int64]

    def __init__(
        self, detector: OneClassFlow | None = None, *, contamination: float = 0.1
    ) -> None:
        super().__init__(contamination=contamination)
        self.detector = detector

    def fit(self, X: ArrayLike, y: object = None) -> PyODDetector:
        """Train on rows ``(N, D)``; `y` is ignored.

        Raises:
            ValueError: As `OneClassFlow.fit`.
        """
        detector = clone(self.detector or OneClassFlow(score_by="support")).fit(X)
        scores = detector.signed_distance(X)
        self._set_n_classes(None)
        self.detector_, self.decision_scores_ = detector, scores
        self._process_decision_scores()
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Signed distance of each row, ``(N,)``: the higher, the more outlying."""
        check_is_fitted(self, "detector_")
        return self.detector_.signed_distance(X)
