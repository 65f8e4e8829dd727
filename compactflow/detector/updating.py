"""What a fitted detector learns from later rows, without training anew."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.detector.calibration import Boundary, Calibration
from compactflow.detector.held_out import (
    Judged,
    fit_scale,
    judge,
    match_groups,
    natural_share,
)
from compactflow.flows.ensemble import Ensemble
from compactflow.training.holdout import HoldOut

__all__ = ["rejudge", "update"]

Array = NDArray[np.float64]


def update(
    ensemble: Ensemble, calibration: Calibration, data: Array
) -> tuple[Ensemble, Calibration]:
    """Add later inliers to the reference rows, and their scores to the calibration.

    Each flow leaves out some of them, as in a fit, and these are scored by it. With more reference
    rows no distance rises, so the earlier scores stay on the safe side, nearly: how a distance
    compares with those around may change.

    Args:
        ensemble: The fitted flows, which stay as they are.
        calibration: The scores of held-out inliers.
        data: The rows, ``(N, D)``, in random order or in that of time.

    Returns:
        A copy of the ensemble with more reference rows, and what calibrates it.

    Raises:
        ValueError: If the flows score by something else than reference rows.
    """
    if not ensemble.neighbours:
        raise ValueError(
            "partial_fit adds reference rows, and this detector has none: it takes "
            "score_by='neighbours'"
        )
    updated = copy.deepcopy(ensemble)
    hold_out = HoldOut.of(len(data), len(ensemble.networks), "auto")
    like = ensemble.latent.like
    x = torch.from_numpy(data).to(like.device, torch.float64)
    for m, rows in enumerate(hold_out.training_rows().T):
        updated.extend(m, x[rows.to(like.device)])
    if not hold_out.left_out:
        return updated, calibration
    judged = judge(updated, data, hold_out)
    fresh = updated.bring(judged.scores, data[judged.rows])
    scores = np.concatenate([calibration.scores, fresh])
    return updated, Calibration.of(scores, held_out=calibration.held_out)


def rejudge(ensemble: Ensemble, data: Array, boundary: Boundary) -> tuple[Ensemble, Calibration]:
    """Score rows that are inliers now, and scale latents or match groups by them.

    Latents are scaled anew for the natural boundary, and groups of a context are matched anew.

    Args:
        ensemble: The fitted flows, which stay as they are.
        data: Rows that trained none of them, ``(N, D)``.
        boundary: That of the detector.

    Returns:
        The flows, a copy if they have changed, and what calibrates them.
    """
    natural = natural_share(boundary, ensemble)
    if natural is not None:
        everything = HoldOut(len(data), len(ensemble.networks))
        ensemble = ensemble.at(0.0, scale=fit_scale(ensemble, data, everything, natural))
    if ensemble.contexts is not None:
        ensemble = copy.deepcopy(ensemble)
        ensemble.unmatch()
    scores = ensemble.signed_distance(data) + ensemble.level
    judged = Judged(np.arange(len(data)), scores, None, held_out=True)
    return ensemble, match_groups(ensemble, data, judged, boundary=boundary).calibration()
