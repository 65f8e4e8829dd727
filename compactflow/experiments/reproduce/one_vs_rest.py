"""One class against the rest: what tables 1 and 2 and fig. 3 of the paper are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from compactflow._version import __version__
from compactflow.experiments.benchmark.detectors import (
    Fit,
    Fitted,
    find_absent,
    fit_likelihood,
    fit_ours,
)
from compactflow.experiments.benchmark.journal import Journal, Task
from compactflow.experiments.benchmark.measurement import fit_and_score
from compactflow.experiments.benchmark.peers import PEERS
from compactflow.experiments.parallel import run_each
from compactflow.experiments.reproduce.features import Features, load
from compactflow.experiments.rows import Row
from compactflow.text import cause_of

__all__ = ["DETECTORS", "Study", "choose", "evaluate", "find_missing", "measure"]

Indices = NDArray[np.intp]

#: The networks of table 1.
_NETWORKS: dict[str, Callable[..., Fitted]] = {
    # The paper's network and settings but for the loss and the learning rate, at which the
    # log-determinant, unlike the mirror push, is stable.
    "FLOW": partial(fit_likelihood, preset="paper", pull="squared", learning_rate=1e-3),
    "IOCN": partial(fit_ours, preset="paper"),
    "ours": fit_ours,
}

#: The rows of table 1 that packages give, and their names in the benchmark.
_PEER_NAMES = {
    **{name: name for name in ("COPOD", "IForest", "KDE", "PCA", "KNN")},
    **{name: f"deepod:{name}" for name in ("DeepSVDD", "GOAD", "ICL", "RCA", "SLAD")},
    # Named in the paper's text, and today's simplest rivals.
    **{"OC-SVM": "OCSVM", "SOD": "SOD", "KNN1": "KNN1", "DTE-NP": "DTE-NP"},
}

#: The rows of table 1, and further ones.
DETECTORS = [*_PEER_NAMES, *_NETWORKS]

_SEEDS = 3
_QUICK_STEPS = 300
_PROTOCOL = 2
_OPTIONAL = float, type(None)
_FIELDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("auroc", "fit_seconds", "score_seconds"), float),
    **dict.fromkeys(("memory", "inside", "missed"), _OPTIONAL),
    **{"class": str, "against": dict},
    **dict.fromkeys(("least", "most", "overlooked", "furthest"), list),
}
_EXTREMES = 8  # test rows kept at either end of the scores


@dataclass(frozen=True, kw_only=True)
class Study:
    """What to measure on what.

    Attributes:
        features: The feature file; scikit-learn's digits if ``None``.
        seeds: Of the noise, the detectors and the digits' split; the peers take the first alone.
        quick: At most 300 steps for the networks.
    """

    features: Path | None = None
    seeds: Sequence[int] = (0,)
    quick: bool = False

    @classmethod
    def of(cls, features: Path | None, seeds: int | None, *, quick: bool, first: int) -> Study:
        """A study of so many seeds from the first on; by default 3, or 1 when quick.

        Raises:
            FileNotFoundError: If there is no such feature file.
            ValueError: If the feature file is unfit, or there is no seed.
        """
        count = (1 if quick else _SEEDS) if seeds is None else seeds
        if count < 1:
            raise ValueError(f"seeds must be at least 1, got {count}")
        if features is not None:
            load(features, first)
        return cls(features=features, seeds=range(first, first + count), quick=quick)

    @property
    def journal(self) -> str:
        """The file name of the finished tasks."""
        return f"one-vs-rest{'-quick' if self.quick else ''}.jsonl"


def find_missing() -> dict[str, str]:
    """The detectors whose package is not installed, and how to install it."""
    absent = find_absent(_PEER_NAMES.values())
    return {name: absent[peer] for name, peer in _PEER_NAMES.items() if peer in absent}


def choose(detectors: Sequence[str] | None, *, quick: bool) -> list[str]:
    """Check the detectors' names; by default all that are installed.

    When quick, these are without deepod's, which take minutes.

    Raises:
        ValueError: If there is no such detector, or it is not installed.
    """
    unknown = [name for name in detectors or () if name not in DETECTORS]
    if unknown:
        raise ValueError(f"there is no detector {unknown[0]!r}; there are {', '.join(DETECTORS)}")
    absent = find_missing()
    if detectors is None:
        slow = {name for name, peer in _PEER_NAMES.items() if quick and peer.startswith("deepod")}
        return [name for name in DETECTORS if name not in absent.keys() | slow]
    for name in detectors:
        if name in absent:
            raise ValueError(f"the detector {name!r} is not installed; run {absent[name]!r}")
    return list(detectors)


def evaluate(out: Path, study: Study, detectors: Sequence[str]) -> list[Row]:
    """Train each detector on the training rows of each class; score the test rows of all.

    Finished tasks are kept in a journal in the folder, and not run again.

    Args:
        out: The folder of the journal.
        study: What to measure on what.
        detectors: Of `DETECTORS`.

    Returns:
        What `measure` returns for each seed, class and detector.

    Raises:
        FileNotFoundError: If there is no such feature file.
        ValueError: If the feature file is unfit.
    """
    journal = Journal(out / study.journal, _FIELDS)
    tasks = {}
    for seed in study.seeds:
        features = load(study.features, seed)
        for label in features.classes:
            for name in detectors:
                if name not in _NETWORKS and seed != study.seeds[0]:
                    continue
                set_, digest = f"{features.name}, class {label}", features.fingerprint
                task = Task(set_, name, seed, digest, _PROTOCOL, __version__)
                tasks[task] = (features, label, task, study.quick)
    pending = journal.find_pending(tasks)
    for row in run_each(measure, [tasks[task] for task in pending], "one-vs-rest"):
        journal.append(row)
    return [journal.rows[task] for task in tasks]


def measure(features: Features, label: str, task: Task, quick: bool) -> Row:
    """One detector trained on one class.

    Returns:
        The fields of the task and ``class``; ``auroc`` of the class's test rows against all other
        test rows and ``against``, that against each other class; ``least`` and ``most``, the
        indices of the 8 least and most anomalous test rows of the class, the extreme one first;
        ``overlooked`` and ``furthest``, the same of all other test rows; the seconds, and the MiB
        of memory; and of a detector with a boundary ``inside``, the share of the class's test
        rows inside, and ``missed``, that of all others. If the detector fails, ``error`` says why.
    """
    row: Row = {**task._asdict(), "class": label, "error": None}
    inliers = features.rows(label, test=True)
    others = {
        other: features.rows(other, test=True) for other in features.classes if other != label
    }
    test = np.concatenate([inliers, *others.values()])
    train = features.X[features.rows(label, test=False)]
    try:
        result = fit_and_score(_fit(task.detector, quick), train, features.X[test], task.seed)
        scores = dict(zip(test.tolist(), result.scores.tolist(), strict=True))
        rest = np.concatenate(list(others.values()))
        row["auroc"] = _auroc(scores, inliers, rest)
        row["against"] = {other: _auroc(scores, inliers, rows) for other, rows in others.items()}
    except (Exception, SystemExit) as error:  # what goes wrong in one must not stop the others
        row["error"] = cause_of(error)
        return row
    for rows, low, high in ((inliers, "least", "most"), (rest, "overlooked", "furthest")):
        ranked = sorted(rows.tolist(), key=scores.__getitem__)
        row |= {low: ranked[:_EXTREMES], high: ranked[::-1][:_EXTREMES]}
    row |= {"inside": None, "missed": None, "memory": result.memory}
    if result.boundary is not None:
        inside = result.scores <= result.boundary
        row["inside"] = float(inside[: len(inliers)].mean())
        row["missed"] = float(inside[len(inliers) :].mean())
    return row | {"fit_seconds": result.fit_seconds, "score_seconds": result.score_seconds}


def _fit(name: str, quick: bool) -> Fit:
    if name in _NETWORKS:
        return partial(_NETWORKS[name], max_steps=_QUICK_STEPS) if quick else _NETWORKS[name]
    peer = PEERS[_PEER_NAMES[name]]
    return lambda train, seed: Fitted(peer(train, seed))


def _auroc(scores: dict[int, float], inliers: Indices, outliers: Indices) -> float:
    rows = np.concatenate([inliers, outliers])
    is_outlier = np.arange(len(rows)) >= len(inliers)
    return float(roc_auc_score(is_outlier, [scores[i] for i in rows.tolist()]))
