"""The scores of held-out rows, each by the flows that were not trained on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.detector.calibration import Boundary, Calibration
from compactflow.flows.ensemble import Ensemble
from compactflow.training.holdout import HoldOut
from compactflow.workers import Workers

__all__ = [
    "Judged",
    "fit_scale",
    "judge",
    "judge_references",
    "match_groups",
    "natural_share",
    "require_support",
]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_DOUBLINGS = 100  # of a scale at most
_HALVINGS = 40  # of its error

_BLOCK = 1 << 14  # rows that are scored by one call, a multiple of what the ensemble takes at once


@final
class Judged(NamedTuple):
    """Rows that flows scored which were not trained on them.

    Attributes:
        rows: Their indices, ``(K,)``.
        scores: Of each the mean over these flows, ``(K,)``.
        weights: How much each counts, ``(K,)``; ``None`` for alike.
        held_out: Whether there are such rows; if not, the scores are of rows of training.

    Examples:
        >>> judged = Judged(np.arange(3), np.array([3.0, 1.0, 2.0]), None, held_out=True)
        >>> judged.calibration().scores
        array([1., 2., 3.])
    """

    rows: Rows
    scores: Array
    weights: Array | None
    held_out: bool

    def some(self, which: NDArray[np.bool_] | Rows) -> Judged:
        """Those of an index into the K."""
        weights = None if self.weights is None else self.weights[which]
        return Judged(self.rows[which], self.scores[which], weights, self.held_out)

    def calibration(self) -> Calibration:
        """By which new rows are judged."""
        return Calibration.of(self.scores, held_out=self.held_out, weights=self.weights)


def judge(
    ensemble: Ensemble,
    data: Array,
    hold_out: HoldOut,
    groups: NDArray[np.int64] | None = None,
    workers: Workers | None = None,
) -> Judged:
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
    return Judged(judging[0], scores, weights, hold_out.left_out > 0)


def judge_references(ensemble: Ensemble, hold_out: HoldOut) -> Judged | None:
    """Score the reference rows, each among the others, as a mean if several flows have it.

    They are many more than the rows held out, and a row that is compared with the others looks
    nearly as a new one does.

    Args:
        ensemble: The trained flows.
        hold_out: Which rows trained which flow, and so are its reference rows.

    Returns:
        Their scores, or ``None`` if the flows score by something else, or if rows weigh unlike,
        of which the heavy ones are there several times and so are too near to themselves.
    """
    if not ensemble.neighbours or hold_out.weights is not None:
        return None
    each = [ensemble.reference_scores(m) for m in range(len(ensemble.scores))]
    training = hold_out.training_rows().T.numpy()
    rows = [own[: len(scores)] for own, scores in zip(training, each, strict=True)]
    return _pool(hold_out, rows, each)


def match_groups(
    ensemble: Ensemble,
    data: Array,
    judged: Judged,
    references: Judged | None = None,
    *,
    boundary: Boundary,
    outlier_share: float = 0.0,
) -> Judged:
    """Let the ensemble bring the scores of each group of a context to those of all rows.

    So what the calibration says of all new rows holds in each group, as far as it has rows. Where
    the boundary is that of the latent's support they stay as they are, as it is one for all.

    Args:
        ensemble: The flows, which know contexts or not.
        data: The rows, ``(N, D)``.
        judged: The scores of some, not yet matched.
        references: Those of more rows, by which groups are matched in their place.
        boundary: That of the detector.
        outlier_share: The share of the furthest rows that tell nothing, as they are outliers.

    Returns:
        The scores of `judged`, brought.
    """
    contexts, known = ensemble.contexts, references or judged
    if contexts is None or not len(contexts.groups) or not len(known.rows):
        return judged
    if isinstance(boundary, str):
        return judged
    everyone = known.calibration().without(outlier_share).scores
    known = known.some(known.scores <= everyone[-1])
    codes = torch.from_numpy(data[known.rows, ensemble.dim :]).to(contexts.shift)
    place, found = contexts.find(codes)
    numbers = torch.where(found, place, len(contexts.groups)).cpu().numpy()
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(1, len(contexts.groups) + 1))
    own = [known.some(rows).calibration().scores for rows in np.split(order, starts)[:-1]]
    contexts.match(own, everyone)
    return judged._replace(scores=ensemble.bring(judged.scores, data[judged.rows]))


def natural_share(boundary: Boundary, ensemble: Ensemble) -> float | None:
    """The share of inliers that the natural boundary is to keep, or ``None`` if there is none.

    There is none for other boundaries, and none that a scale could keep where a score of one's
    own says how far a row is from the support, or where the support, such as a ring, lets rows out
    inwards: the natural boundary then is the bare one.
    """
    latent = ensemble.latent
    scales = boundary == "natural" and ensemble.natural and latent.has_gauge()
    return latent.share if scales else None


def require_support(ensemble: Ensemble, level: Boundary) -> None:
    """Raise a `ValueError` if fitted flows cannot have the boundary of the latent's support."""
    if not ensemble.natural:
        raise ValueError(
            f"level={level!r} is the boundary of the latent's support, and this detector "
            "scores by something else; fit with score_by='support' or boundary='natural'"
        )
    if ensemble.matched:
        raise ValueError(
            f"level={level!r} is one set of latents for all groups of a context, and this "
            f"detector has a level in each; fit with boundary={level!r}"
        )
    scaled = ensemble.scale != 1
    if scaled and level == "bare":
        raise ValueError(
            "level='bare' is for latents as training left them, and those of this detector "
            "are scaled; fit with boundary='bare'"
        )
    if not scaled and natural_share(level, ensemble) is not None:
        raise ValueError(
            "level='natural' takes latents that a fit has scaled for it; fit with "
            "boundary='natural', or take 'bare', the support of latents as they are"
        )


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
        data: As in `judge`.
        hold_out: As in `judge`.
        level: The share to keep, in (0, 1).
        groups: As in `judge`.
        outlier_share: The share of the furthest rows that are taken for outliers.
    """
    judging, latent = _judging(hold_out, groups), ensemble.latent
    unscaled = ensemble.at(0.0, scale=1.0)
    encoded = [unscaled.encode(data[rows], m) for m, rows in enumerate(judging)]
    latents = [torch.from_numpy(z).to(latent.like) for z in encoded]

    def holds(scale: float) -> bool:
        each = [latent.signed_distance(scale * z).double().cpu().numpy() for z in latents]
        calibration = _pool(hold_out, judging, each).calibration()
        return calibration.without(outlier_share).threshold(level) <= 0

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


def _pool(hold_out: HoldOut, judging: Sequence[Rows], each: Sequence[Array]) -> Judged:
    """The mean scores of the rows, from those of each flow's own rows."""
    sums, counts = np.zeros((2, hold_out.rows))
    for rows, scores in zip(judging, each, strict=True):
        sums[rows] += scores
        counts[rows] += 1
    scored = np.flatnonzero(counts)
    weights = None if hold_out.weights is None else hold_out.weights.numpy()[scored]
    return Judged(scored, sums[scored] / counts[scored], weights, hold_out.left_out > 0)


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
