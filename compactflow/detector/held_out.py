"""The scores of held-out rows, each by the flows that were not trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, repeat

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.detector.calibration import Boundary, Calibration
from compactflow.flows.ensemble import Ensemble
from compactflow.training.holdout import HoldOut
from compactflow.workers import Workers

__all__ = ["calibrate", "fit_scale", "natural_share"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_DOUBLINGS = 100  # of a scale at most
_HALVINGS = 40  # of its error

_BLOCK = 1 << 14  # rows that are scored by one call, a multiple of what the ensemble takes at once


def calibrate(
    ensemble: Ensemble,
    data: Array,
    hold_out: HoldOut,
    groups: NDArray[np.int64] | None = None,
    workers: Workers | None = None,
) -> Calibration:
    """Score rows by the flows that were not trained on them, as a mean if there are several.

    Args:
        ensemble: The trained flows.
        data: The rows, ``(N, D)``.
        hold_out: Which of them trained which flow, its first layer included, and their weights.
        groups: The group of each row, ``(N,)``: then no row of its group may have trained either.
        workers: What scores them, in blocks; by default this process does.

    Raises:
        ValueError: If rows were held out, but none with its whole group.
    """
    judging = _judging(hold_out, groups)
    each = _member_scores(ensemble, data, judging, workers)
    if hold_out.apart:
        return _pool(hold_out, judging, each)
    scores = ensemble.combine(torch.from_numpy(np.stack(each))).numpy()
    weights = None if hold_out.weights is None else hold_out.weights.numpy()[judging[0]]
    return Calibration.of(scores, held_out=hold_out.left_out > 0, weights=weights)


def natural_share(boundary: Boundary, ensemble: Ensemble) -> float | None:
    """The share of inliers that the natural boundary is to keep, or ``None`` if there is none.

    There is none for other boundaries, and none that a scale could keep where a score of one's
    own says how far a row is from the support, or where the support, such as a ring, lets rows out
    inwards: the natural boundary then is the bare one.
    """
    latent = ensemble.latent
    scales = boundary == "natural" and ensemble.natural and latent.has_gauge()
    return latent.share if scales else None


def fit_scale(
    ensemble: Ensemble,
    data: Array,
    hold_out: HoldOut,
    level: float,
    groups: NDArray[np.int64] | None = None,
    *,
    outlier_share: float = 0.0,
) -> float:
    """The scale of latents by which the latent's own support keeps its share of new inliers.

    A flow may put the rows that trained it inside the support and others outside, or the other way
    round. This adds one layer, ``z → a z``, that is trained by the rows that were held out: a is
    the largest with which the threshold of their mean signed distances, each by the flows that
    were not trained on it, is not above 0. So the set that decides remains the latent's own.

    Args:
        ensemble: The trained flows, which score by the support of a latent with a gauge.
        data: As in `calibrate`.
        hold_out: As in `calibrate`.
        level: The share to keep, in (0, 1).
        groups: As in `calibrate`.
        outlier_share: The share of the furthest rows that are taken for outliers.
    """
    judging, latent = _judging(hold_out, groups), ensemble.latent
    unscaled = ensemble.at(0.0, scale=1.0)
    encoded = [unscaled.encode(data[rows], m) for m, rows in enumerate(judging)]
    latents = [torch.from_numpy(z).to(latent.like) for z in encoded]

    def holds(scale: float) -> bool:
        each = [latent.signed_distance(scale * z).double().cpu().numpy() for z in latents]
        return _pool(hold_out, judging, each).without(outlier_share).threshold(level) <= 0

    low = 1.0
    for _ in range(_DOUBLINGS):
        if holds(low):
            break
        low /= 2
    for _ in range(_DOUBLINGS):
        if not holds(2 * low):
            break
        low *= 2
    high = 2 * low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _judging(hold_out: HoldOut, groups: NDArray[np.int64] | None) -> list[Rows]:
    """The rows that each flow scores: of groups none of whose rows trained it.

    Raises:
        ValueError: If rows were held out, but none with its whole group.
    """
    judging: list[Rows] = list(hold_out.judging_rows().T.numpy())
    if groups is None or not hold_out.left_out or not hold_out.apart:
        return judging
    training = hold_out.training_rows().T.numpy()
    apart = [
        rows[~np.isin(groups[rows], groups[seen])]
        for rows, seen in zip(judging, training, strict=True)
    ]
    if not any(map(len, apart)):
        raise ValueError(
            f"no group is held out as a whole, as the {len(np.unique(groups))} groups are larger "
            "than what each flow leaves out; give a larger validation_fraction, or smaller groups"
        )
    return apart


def _pool(hold_out: HoldOut, judging: Sequence[Rows], each: Sequence[Array]) -> Calibration:
    """The mean scores of the rows, from those of each flow's own rows."""
    sums, counts = np.zeros((2, hold_out.rows))
    for rows, scores in zip(judging, each, strict=True):
        sums[rows] += scores
        counts[rows] += 1
    scored = counts > 0
    weights = None if hold_out.weights is None else hold_out.weights.numpy()[scored]
    held_out = hold_out.left_out > 0
    return Calibration.of(sums[scored] / counts[scored], held_out=held_out, weights=weights)


def _member_scores(
    ensemble: Ensemble, data: Array, judging: Sequence[Rows], workers: Workers | None
) -> list[Array]:
    """The scores of each flow's own rows, which `judging` has by their indices."""
    blocks = [[rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK)] for rows in judging]
    tasks = [(m, rows) for m, each in enumerate(blocks) for rows in each]
    shared = ensemble, data
    scored: Iterator[Array]
    if workers is None or ensemble.latent.like.device.type != "cpu":
        scored = map(_score_block, repeat(shared), tasks)
    else:
        scored = iter(workers.run(_score_block, shared, tasks))
    return [np.concatenate([np.empty(0), *islice(scored, len(each))]) for each in blocks]


def _score_block(shared: tuple[Ensemble, Array], task: tuple[int, Rows]) -> Array:
    (ensemble, data), (m, rows) = shared, task
    return ensemble.member_scores(data[rows], m)
