"""The detectors that are compared: ours, variants of ours, and peers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from compactflow.detector.building import build
from compactflow.experiments.benchmark.peers import INSTALL, OPTIONAL, PEERS, Score
from compactflow.flows.components import find_class

__all__ = [
    "DETECTORS",
    "VARIANTS",
    "Fitted",
    "check_name",
    "find_absent",
    "fit_likelihood",
    "fit_ours",
    "load",
]

Array = NDArray[np.float64]


class Fitted(NamedTuple):
    """A fitted detector.

    Attributes:
        score: Maps rows ``(M, D)`` to scores ``(M,)``: the higher, the more outlying.
        boundary: If scores are signed distances, the one beyond which a row is an outlier.
    """

    score: Score
    boundary: float | None = None


Fit = Callable[[Array, int], Fitted]


def fit_ours(train: Array, seed: int, **options: Any) -> Fitted:  # noqa: ANN401
    """Ours, with the options of `compactflow.build`; the score is the signed distance."""
    detector = build(random_state=seed, **options).fit(train)
    return Fitted(detector.signed_distance, 0.0)


def fit_likelihood(train: Array, seed: int, **options: Any) -> Fitted:  # noqa: ANN401
    """Our network trained by maximum likelihood; the score is minus the log-density."""
    fixed = {"latent": "gaussian", "push": "likelihood", "score_by": "support"}
    detector = build(**fixed, random_state=seed, **options).fit(train)
    return Fitted(lambda rows: -detector.log_density(rows))


def _standardised(fit: Callable[[Array, int], Score]) -> Fit:
    """Scale to zero mean and unit variance over the training rows first."""

    def fit_standardised(train: Array, seed: int) -> Fitted:
        scaler = StandardScaler().fit(train)
        score = fit(scaler.transform(train), seed)
        return Fitted(lambda rows: score(scaler.transform(rows)))

    return fit_standardised


def _behind(layer: str, fit: Callable[[Array, int], Score]) -> Fit:
    """Put one of our first layers in front, fitted to the training rows."""

    def fit_behind(train: Array, seed: int) -> Fitted:
        fitted = find_class("preprocessing", layer)(train.shape[1])
        fitted.fit(train)
        fitted.double()

        def prepare(rows: Array) -> Array:
            prepared: Array = fitted(torch.from_numpy(rows)).numpy()
            return prepared

        score = fit(prepare(train), seed)
        return Fitted(lambda rows: score(prepare(rows)))

    return fit_behind


#: Each maps training inliers ``(N, D)`` and a seed to a fitted detector. The peers' features are
#: standardised.
DETECTORS: dict[str, Fit] = {
    "compactflow": fit_ours,
    "fast preset": partial(fit_ours, preset="fast"),
    "natural preset": partial(fit_ours, preset="natural"),
    "paper preset": partial(fit_ours, preset="paper"),
    "FLOW": fit_likelihood,
    **{name: _standardised(peer) for name, peer in PEERS.items()},
}

_CHANGES: dict[str, dict[str, Any]] = {
    "one flow": {"members": 1},
    "no noise": {"noise": 0.0},
    "whitened": {"preprocessing": "whiten"},
    "standardised": {"preprocessing": "standardise"},
    "eight flows": {"members": 8},
    "by the support": {"score_by": "support"},
    "half-whitened": {"preprocessing": "half-whiten"},
    "a quarter of the rate": {"learning_rate": 1e-2},
    "half the steps": {"max_steps": 200},
    "twice the batch": {"batch_size": 256},
    "sharp wall": {"pull_options": {"sharpness": 10.0}},
    "told of outliers": {"outlier_share": 0.02},
    "normal latent": {"latent": "gaussian"},
    "bare boundary": {"latent": "gaussian", "boundary": "bare", "members": 1},
    "additive coupling": {"backbone_options": {"transform": "additive"}},
    "unaligned rotations": {"backbone_options": {"permutation": "soft"}},
    "rectified units": {"backbone_options": {"activation": "relu", "horizon": 1.0}},
    "looser clamp": {"backbone_options": {"clamp": 2.0}},
}

#: The default with one ingredient changed or left out, for an ablation. They run only by name.
VARIANTS: dict[str, Fit] = {
    name: partial(fit_ours, **options) for name, options in _CHANGES.items()
}


def check_name(name: str) -> None:
    """Check that a detector of that name can be made.

    Raises:
        ValueError: If there is no such detector, or no such first layer for it.
    """
    peer, at, layer = name.partition("@")
    known = list(PEERS) if at else [*DETECTORS, *VARIANTS]
    if peer not in known:
        kind = "peer" if at else "detector"
        raise ValueError(f"there is no {kind} {peer!r}; there are {', '.join(known)}")
    if at:
        find_class("preprocessing", layer)


def load(name: str) -> Fit:
    """A detector or variant, with what it needs imported, so that importing is not timed.

    Args:
        name: As in `DETECTORS` or `VARIANTS`, or ``"peer@layer"`` for a peer behind one of our
            first layers in place of standardised columns.

    Raises:
        ImportError: If its package is not installed.
    """
    peer, at, layer = name.partition("@")
    if peer in OPTIONAL:
        OPTIONAL[peer].load()
    return _behind(layer, PEERS[peer]) if at else (DETECTORS | VARIANTS)[name]


def find_absent(names: Iterable[str]) -> dict[str, str]:
    """Those of the detectors whose package is not installed, and how to install it."""
    absent = {}
    for name in names:
        try:
            load(name)
        except ImportError:
            package = OPTIONAL[name.partition("@")[0]].module.partition(".")[0]
            absent[name] = INSTALL[package]
    return absent
