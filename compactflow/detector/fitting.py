"""From inliers to a calibrated ensemble."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor

from compactflow.detector.calibration import Calibration
from compactflow.detector.held_out import (
    fit_scale,
    judge,
    judge_references,
    match_groups,
    natural_share,
)
from compactflow.detector.layers import fit_layers
from compactflow.detector.settings import Settings
from compactflow.detector.weights import gather
from compactflow.devices import find_device, finest_dtype, fresh_defaults
from compactflow.flows.assembly import (
    adapt,
    compose,
    make_latent,
    make_layers,
    make_networks,
)
from compactflow.flows.components import find_class
from compactflow.flows.contracts import check_maps, check_support
from compactflow.flows.ensemble import Ensemble
from compactflow.flows.gaps import fill
from compactflow.flows.scores import Score
from compactflow.persistence.components import check_options
from compactflow.pushes.base import Push
from compactflow.pushes.theory import balance, check_theory
from compactflow.randomness import drawing_from, seeded
from compactflow.training.callbacks import Callback
from compactflow.training.checkpoints import Checkpoint, identify
from compactflow.training.holdout import HoldOut
from compactflow.training.trainer import History, train
from compactflow.workers import Workers

__all__ = ["Fitted", "fit_ensemble"]

Array = NDArray[np.float64]

_log = logging.getLogger(__name__)

_DONORS = 4096  # rows, in random order, to fill the gaps of training from


@final
@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a fit gives.

    Attributes:
        settings: The resolved arguments of the fit.
        ensemble: The trained flows, in the device's finest precision.
        calibration: Signed distances of the rows that were held out.
        history: What the checks of training found.

    Examples:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(60, 2))
        >>> fitted = fit_ensemble(X, {"max_steps": 1, "members": 2, "random_state": 0})
        >>> len(fitted.ensemble.flows), len(fitted.calibration.scores)
        (2, 15)
    """

    settings: Settings
    ensemble: Ensemble
    calibration: Calibration
    history: History


def fit_ensemble(
    data: Array,
    arguments: Mapping[str, Any],
    checkpoint: str | os.PathLike[str] | None = None,
    callbacks: Iterable[Callback] = (),
    *,
    groups: NDArray[np.int64] | None = None,
    weights: Array | None = None,
    outliers: Array | None = None,
    workers: Workers | None = None,
    categories: Sequence[int] = (),
) -> Fitted:
    """Make an ensemble, train it on inliers and calibrate it.

    Args:
        data: Inliers, ``(N, D)``, with NaN in gaps, and behind them the P codes of their context.
        arguments: Those of `OneClassFlow`.
        checkpoint: The folder to go on from and to keep the state in.
        callbacks: What looks on while the flows train.
        groups: The number of each row's group, ``(N,)``; a row is held out with its group.
        weights: How much each row counts, ``(N,)``, positive; all alike if ``None``.
        outliers: Known outliers, ``(K, D)``, towards which a score by neighbours leans.
        workers: What fits the first layers and scores the held-out rows, flow by flow; by default
            this process does.
        categories: For each code of the context how many categories it has, or 0 for a number.

    Raises:
        TypeError: If an argument has the wrong type, or an option has a type that a model file
            cannot hold.
        ValueError: If an argument is out of range, if a component refuses its options or the
            data, if no group is held out as a whole, or if the checkpoint is of another run.
    """
    started = time.monotonic()
    settings, random_state = Settings.of(arguments), arguments["random_state"]
    check_options(settings.parts)
    device = find_device(settings.device)
    _log.info("fitting %d rows of %d features on %s", *data.shape, device)
    with ExitStack() as stack:
        resumed = None
        if checkpoint is not None:
            more = [each for each in (groups, weights) if each is not None]
            rows: Array = np.column_stack([data, *more]) if more else data
            identity = identify(arguments, rows)
            resumed = stack.enter_context(Checkpoint(checkpoint, identity, random_state))
            random_state = resumed.seed
        rng = check_random_state(random_state)
        data, groups, weights = _in_random_order(data, groups, weights, rng)
        seed = int(rng.randint(2**31))
        stack.enter_context(fresh_defaults(grad=True))
        even = groups is not None and len(np.unique(groups)) < len(groups)
        ensemble, history, hold_out = _train(
            data, settings, device, seed, resumed, callbacks, even, weights, workers, categories
        )
        if outliers is not None:
            _lean(ensemble, outliers)
        calibration = _calibrate(ensemble, data, hold_out, groups, settings, workers)
    _log.info(
        "fitted in %.1f s: %d flows, %s, level %.6g",
        time.monotonic() - started,
        len(ensemble.flows),
        calibration.describe(ensemble.level),
        ensemble.level,
    )
    return Fitted(settings=settings, ensemble=ensemble, calibration=calibration, history=history)


def _in_random_order(
    data: Array,
    groups: NDArray[np.int64] | None,
    weights: Array | None,
    rng: np.random.RandomState,
) -> tuple[Array, NDArray[np.int64] | None, Array | None]:
    """The rows that train, their groups side by side, and their weights if they count unlike."""
    weights = np.ones(len(data)) if weights is None else weights
    kept, weights = gather(data, weights, groups)
    data, groups = data[kept], None if groups is None else groups[kept]
    order = rng.permutation(len(data))
    if groups is not None:
        order = _side_by_side(order, groups)
        groups = groups[order]
    return data[order], groups, None if weights is None else weights[order]


def _train(
    data: Array,
    settings: Settings,
    device: torch.device,
    seed: int,
    checkpoint: Checkpoint | None,
    callbacks: Iterable[Callback],
    even: bool,
    weights: Array | None,
    workers: Workers | None,
    categories: Sequence[int],
) -> tuple[Ensemble, History, HoldOut]:
    parts, generator = settings.parts, seeded(seed)
    dim = data.shape[1] - len(categories)
    x = torch.from_numpy(data)
    features = fill(x[:, :dim], x[_some(len(x), _DONORS, even=even), :dim])
    x = torch.cat([features, x[:, dim:]], dim=1) if categories else features
    data, x = x.numpy(), x.to(device, finest_dtype(device))
    with drawing_from(generator):
        networks = make_networks(parts, dim, settings.members, categories)
        hold_out = _hold_out(settings, len(data), len(networks), weights)
        layers = make_layers(parts, dim, len(networks))
        layers, views = fit_layers(layers, data, dim, hold_out, workers)
        seen = x if views is None else torch.from_numpy(views).to(device)
        latent, trained = make_latent(parts, dim).to(device), hold_out.trained().to(device)
        anchors = adapt(parts, latent, layers[0].to(device), x[:, :dim], trained)
        ensemble, push = compose(parts, networks, layers, latent)
    _make_ready(ensemble, push, x[:3])
    history = train(
        ensemble.flows,
        seen,
        hold_out,
        pull=ensemble.pull,
        push=push,
        options=settings.training_options(
            len(data) - hold_out.left_out, dim, members=len(networks)
        ),
        generator=generator if device.type == "cpu" else seeded(seed, device),
        anchors=anchors,
        checkpoint=checkpoint,
        callbacks=callbacks,
    )
    ensemble.eval().place(device)
    if ensemble.contexts is not None:
        ensemble.contexts.see(x[:, dim:].to(ensemble.latent.like))
    known = hold_out.training_rows()
    if even:  # rows of a group follow each other, and a score may take the first
        known = known[torch.randperm(len(known), generator=seeded(seed))]
    for m in range(len(ensemble.scores)):
        rows = x[known[:, m].to(device)]
        ensemble.fit_score(m, rows, outlier_share=settings.outlier_share)
    return ensemble, history, hold_out


def _hold_out(settings: Settings, rows: int, flows: int, weights: Array | None) -> HoldOut:
    """Which rows train each flow: the same for all where the score is other than their mean."""
    score = find_class("score", settings.parts["score"].choice)
    scoring: Any = score if isinstance(score, type) else type(score)
    return HoldOut.of(
        rows,
        flows,
        settings.validation_fraction,
        apart=scoring.combine is Score.combine,
        weights=None if weights is None else torch.from_numpy(weights),
    )


def _make_ready(ensemble: Ensemble, push: Push, x: Tensor) -> None:
    """Bring the parts to where x is, check that they go together, and weigh the pull."""
    ensemble.place(x.device)
    ensemble.cast(torch.float32)
    push.to(ensemble.latent.like)
    check_maps(ensemble.flows[0], x)
    check_support(ensemble.pull)
    check_theory(ensemble.pull, push)
    balance(ensemble.pull, push)


def _calibrate(
    ensemble: Ensemble,
    data: Array,
    hold_out: HoldOut,
    groups: NDArray[np.int64] | None,
    settings: Settings,
    workers: Workers | None,
) -> Calibration:
    """Set the ensemble's scale and level by the rows that were held out."""
    outlying, natural = settings.outlier_share, natural_share(settings.boundary, ensemble)
    if natural is not None:
        ensemble.scale = fit_scale(
            ensemble, data, hold_out, natural, groups, outlier_share=outlying
        )
    judged = judge(ensemble, data, hold_out, groups, workers)
    if ensemble.contexts is not None:
        # Rows of one group, such as a patient's, are no measure of new ones.
        references = judge_references(ensemble, hold_out) if groups is None else None
        judged = match_groups(
            ensemble, data, judged, references, boundary=settings.boundary, outlier_share=outlying
        )
    calibration = judged.calibration().without(outlying)
    ensemble.level = calibration.threshold(settings.boundary)
    return calibration


def _lean(ensemble: Ensemble, outliers: Array) -> None:
    like = ensemble.latent.like
    if not ensemble.lean(torch.from_numpy(outliers).to(like.device, finest_dtype(like.device))):
        warnings.warn(
            "the known outliers, y = -1, are left out: only score_by='neighbours' leans towards "
            "them",
            UserWarning,
            stacklevel=4,
        )


def _some(rows: int, wanted: int, *, even: bool) -> Tensor:
    """Indices of some rows: the first, which are random, or if rows are by group, `even` ones."""
    last = rows - 1 if even else min(wanted, rows) - 1
    return torch.linspace(0, last, min(wanted, rows), dtype=torch.float64).round().long()


def _side_by_side(order: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """A random order of rows in which those of a group follow each other."""
    first = np.full(groups.max() + 1, len(order))
    np.minimum.at(first, groups[order], np.arange(len(order)))
    return order[np.argsort(first[groups[order]], kind="stable")]
