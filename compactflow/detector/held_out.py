"""The scores of held-out rows, each by the flows that were not trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, repeat

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.detector.calibration import Calibration
from compactflow.flows.ensemble import Ensemble
from compactflow.training.holdout import HoldOut
from compactflow.workers import Workers

__all__ = ["calibrate"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

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
    judging: list[Rows] = list(hold_out.judging_rows().T.numpy())
    known = None if hold_out.weights is None else hold_out.weights.numpy()
    held_out = hold_out.left_out > 0
    if not hold_out.apart:
        each = _member_scores(ensemble, data, judging, workers)
        scores = ensemble.combine(torch.from_numpy(np.stack(each))).numpy()
        weights = None if known is None else known[judging[0]]
        return Calibration.of(scores, held_out=held_out, weights=weights)
    if groups is not None and held_out:
        training = hold_out.training_rows().T.numpy()
        judging = [
            rows[~np.isin(groups[rows], groups[seen])]
            for rows, seen in zip(judging, training, strict=True)
        ]
    sums, counts = np.zeros((2, len(data)))
    each = _member_scores(ensemble, data, judging, workers)
    for rows, scores in zip(judging, each, strict=True):
        sums[rows] += scores
        counts[rows] += 1
    scored = counts > 0
    if groups is not None and not scored.any():
        raise ValueError(
            f"no group is held out as a whole, as the {len(np.unique(groups))} groups are larger "
            "than what each flow leaves out; give a larger validation_fraction, or smaller groups"
        )
    weights = None if known is None else known[scored]
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
