"""What a fitted detector learns from later rows, without training anew."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.detector.calibration import Calibration
from compactflow.detector.held_out import calibrate
from compactflow.flows.ensemble import Ensemble
from compactflow.training.holdout import HoldOut

__all__ = ["update"]

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
    fresh = calibrate(updated, data, hold_out)
    scores = np.concatenate([calibration.scores, fresh.scores])
    return updated, Calibration.of(scores, held_out=calibration.held_out)
