"""The detectors that are compared, each with one fixed set of hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from compactflow.detector.building import build
from compactflow.devices import find_device
from compactflow.experiments.benchmark.rivals import contraction_matching, diffusion_time
from compactflow.experiments.benchmark.sod import fit_sod
from compactflow.flows.assembly import find_class

__all__ = [
    "DETECTORS",
    "INSTALL",
    "PEERS",
    "VARIANTS",
    "Fitted",
    "check_name",
    "find_absent",
    "fit_likelihood",
    "fit_ours",
    "load",
]

Array = NDArray[np.float64]
Score = Callable[[Array], Array]


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


def _neighbours(count: int, summary: Callable[[Array], Array]) -> Callable[[Array, int], Score]:
    """A summary of the distances ``(M, count)`` to the nearest training rows."""

    def fit(train: Array, seed: int) -> Score:
        neighbours = NearestNeighbors(n_neighbors=count).fit(train)
        return lambda rows: summary(neighbours.kneighbors(rows)[0])

    return fit


def _quarter_density(train: Array, seed: int) -> Score:
    """A kernel density of a quarter of Silverman's bandwidth, the same for all columns."""
    width = 0.25 * len(train) ** (-1 / (train.shape[1] + 4))
    return _normality(lambda seed: KernelDensity(bandwidth=width))(train, seed)


def _mahalanobis(train: Array, seed: int) -> Score:
    return LedoitWolf().fit(train).mahalanobis


def _pca(train: Array, seed: int) -> Score:
    pca = PCA(0.9).fit(train)
    return lambda rows: np.linalg.norm(rows - pca.inverse_transform(pca.transform(rows)), axis=1)


def _normality(make: Callable[[int], Any]) -> Callable[[Array, int], Score]:
    """A scikit-learn estimator whose ``score_samples`` is the higher, the more normal."""

    def fit(train: Array, seed: int) -> Score:
        detector = make(seed).fit(train)
        return lambda rows: -detector.score_samples(rows)

    return fit


@dataclass(frozen=True)
class _Peer:
    """A detector of an optional package, with its defaults.

    Attributes:
        module: Where it is imported from.
        name: Its class.
        options: Maps dimension and seed to what the constructor has no default for.
    """

    module: str
    name: str
    options: Callable[[int, int], dict[str, Any]]

    def load(self) -> Callable[..., Any]:
        return getattr(import_module(self.module), self.name)

    def __call__(self, train: Array, seed: int) -> Score:
        return self.load()(**self.options(train.shape[1], seed)).fit(train).decision_function


def _deepod(name: str) -> _Peer:
    def options(dim: int, seed: int) -> dict[str, Any]:
        return {"random_state": seed, "device": find_device("auto").type, "verbose": 0}

    return _Peer("deepod.models", name, options)


def _first(distances: Array) -> Array:
    return distances[:, 0]


def _last(distances: Array) -> Array:
    return distances[:, -1]


def _mean(distances: Array) -> Array:
    mean: Array = distances.mean(axis=1)
    return mean


def _no_options(dim: int, seed: int) -> dict[str, Any]:
    return {}


_DEEPOD = ("DeepSVDD", "GOAD", "ICL", "NeuTraL", "RCA", "SLAD")

_OPTIONAL = {
    "ECOD": _Peer("pyod.models.ecod", "ECOD", _no_options),
    "COPOD": _Peer("pyod.models.copod", "COPOD", _no_options),
    "HBOS": _Peer("pyod.models.hbos", "HBOS", _no_options),
    "INNE": _Peer("pyod.models.inne", "INNE", lambda dim, seed: {"random_state": seed}),
    "LUNAR": _Peer("pyod.models.lunar", "LUNAR", _no_options),
    "DeepSVDD": _Peer(
        "pyod.models.deep_svdd",
        "DeepSVDD",
        lambda dim, seed: {"n_features": dim, "random_state": seed, "verbose": 0},
    ),
    "AutoEncoder": _Peer(
        "pyod.models.auto_encoder",
        "AutoEncoder",
        lambda dim, seed: {"random_state": seed, "verbose": 0},
    ),
    **{f"deepod:{name}": _deepod(name) for name in _DEEPOD},
}

#: How to install the optional packages. deepod pins an old torch but works with the present one.
INSTALL = {
    "pyod": "pip install pyod tqdm",
    "deepod": "pip install pyod tqdm && pip install --no-deps deepod",
}

#: The peers on features as they are; each maps training inliers ``(N, D)`` and a seed to scores.
PEERS: dict[str, Callable[[Array, int], Score]] = {
    "KNN": _neighbours(5, _last),
    "KNN1": _neighbours(1, _first),
    "DTE-NP": _neighbours(5, _mean),
    "IForest": _normality(lambda seed: IsolationForest(random_state=seed)),
    "LOF": _normality(lambda seed: LocalOutlierFactor(novelty=True)),
    "OCSVM": _normality(lambda seed: OneClassSVM()),
    "Mahalanobis": _mahalanobis,
    "PCA": _pca,
    "KDE": _normality(lambda seed: KernelDensity()),
    "KDE/4": _quarter_density,
    "GMM": _normality(lambda seed: GaussianMixture(5, reg_covar=1e-3, random_state=seed)),
    "SOD": fit_sod,
    "DTE-C": diffusion_time,
    "TCCM": contraction_matching,
    **_OPTIONAL,
}

#: Each maps training inliers ``(N, D)`` and a seed to a fitted detector. The peers' features are
#: standardised.
DETECTORS: dict[str, Fit] = {
    "compactflow": fit_ours,
    "fast preset": partial(fit_ours, preset="fast"),
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
    "normal latent": {"latent": "gaussian"},
    "natural boundary": {"latent": "gaussian", "boundary": "natural", "members": 1},
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
    if peer in _OPTIONAL:
        _OPTIONAL[peer].load()
    return _behind(layer, PEERS[peer]) if at else (DETECTORS | VARIANTS)[name]


def find_absent(names: Iterable[str]) -> dict[str, str]:
    """Those of the detectors whose package is not installed, and how to install it."""
    absent = {}
    for name in names:
        try:
            load(name)
        except ImportError:
            package = _OPTIONAL[name.partition("@")[0]].module.partition(".")[0]
            absent[name] = INSTALL[package]
    return absent
