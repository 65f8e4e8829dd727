"""Detectors of others, each with one fixed set of hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from compactflow.devices import find_device
from compactflow.experiments.benchmark.rivals import contraction_matching, diffusion_time
from compactflow.experiments.benchmark.sod import fit_sod

__all__ = ["INSTALL", "OPTIONAL", "PEERS", "Score"]

Array = NDArray[np.float64]
Score = Callable[[Array], Array]


def _neighbours(count: int, summary: Callable[[Array], Array]) -> Callable[[Array, int], Score]:
    """A summary of the distances ``(M, count)`` to the nearest training rows."""

    def fit(train: Array, seed: int) -> Score:
        neighbours = NearestNeighbors(n_neighbors=count).fit(train)
        return lambda rows: summary(neighbours.kneighbors(rows)[0])

    return fit


def _density(train: Array, seed: int, share: float | None = None) -> Score:
    """A kernel density, of this share of Silverman's bandwidth for all columns, or of 1."""
    width = 1.0 if share is None else share * len(train) ** (-1 / (train.shape[1] + 4))
    # One leaf: between leaves, scikit-learn's sums of small densities are wrong by hundreds.
    density = KernelDensity(bandwidth=width, leaf_size=len(train))
    return _normality(lambda seed: density)(train, seed)


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

#: Those of them whose package may be missing.
OPTIONAL = {
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
    "KDE": _density,
    "KDE/4": partial(_density, share=0.25),
    "GMM": _normality(lambda seed: GaussianMixture(5, reg_covar=1e-3, random_state=seed)),
    "SOD": fit_sod,
    "DTE-C": diffusion_time,
    "TCCM": contraction_matching,
    **OPTIONAL,
}
