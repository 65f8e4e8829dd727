"""Every push on one backbone: how noisy, how fast, and what comes of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from rich.table import Table
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from torch import Tensor

from compactflow.backbones.coupling import Coupling
from compactflow.detector.building import build
from compactflow.experiments.datasets import split
from compactflow.experiments.parallel import run_all
from compactflow.experiments.rows import Row, write_csv
from compactflow.files import write_atomically
from compactflow.flows.assembly import make_push
from compactflow.flows.components import Part
from compactflow.latents.cube import Cube
from compactflow.plugins import registry
from compactflow.pushes.base import Push
from compactflow.randomness import seeded
from compactflow.training.monitors import energy_distance

__all__ = ["HEAD", "PUSHES", "gradients", "measure", "run", "summary"]

#: The pushes, with the learning rate of each: the mirror push is stable at a small one only.
PUSHES = {
    "likelihood": 1e-2,
    "stein": 1e-2,
    "free-form": 1e-2,
    "free-form-learnt": 1e-2,
    "mirror": 3e-4,
    "transport": 1e-2,
}
_OPTIONS: dict[str, Any] = {"blocks": 8, "width": 64, "clamp": 1.0}
_STEPS, _FEW_STEPS = 400, 40
_SEEDS = 3
_DRAWS = 30  # of a push's random numbers, for one batch
_BATCH = 128
_DIGITS = {"noise": 2, "milliseconds": 0, "energy_distance": 3, "in_support": 2, "auroc": 3}
#: What `summary` gives.
HEAD = ("push", "noise", "ms", "energy distance", "in support", "AUROC")


def run(out: Path, *, quick: bool, seed: int) -> Table:
    """Measure every push on scikit-learn's breast cancer data; write ``pushes.csv``.

    Args:
        out: The folder to write to.
        quick: One seed instead of three, and a tenth of the steps.
        seed: The first seed.
    """
    seeds = range(seed, seed + (1 if quick else _SEEDS))
    steps = _FEW_STEPS if quick else _STEPS
    tasks = [(push, each, steps) for each in seeds for push in PUSHES]
    rows = run_all(measure, tasks, "pushes")
    write_atomically(out / "pushes.csv", lambda path: write_csv(path, rows))
    table = Table(*HEAD)
    for line in summary(rows):
        table.add_row(*line)
    return table


def measure(push: str, seed: int, steps: int) -> Row:
    """Train a flow by a push, and see how well it does on inliers that it has not seen.

    Returns:
        ``noise``, the variance of the push's gradient over its random numbers as a share of the
        mean's square; ``milliseconds`` of processor time for one; of held-out inliers the
        ``energy_distance`` of their latents to samples of the cube and the share ``in_support``;
        and the ``auroc`` of the signed distance to the support.
    """
    X, y = load_breast_cancer(return_X_y=True)
    train, test, outlier = split(X, 1 - y, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detector = build(
            push=push,
            backbone_options=_OPTIONS,
            learning_rate=PUSHES[push],
            max_steps=steps,
            members=1,
            score_by="support",
            random_state=seed,
        ).fit(train)
    score = detector.ensemble_.member_scores(np.ascontiguousarray(test), 0)
    latents = torch.from_numpy(detector.transform(test[outlier == 0]))
    samples = Cube(X.shape[1]).double().sample(1000, seeded(seed))
    noise, milliseconds = _cost(push, X.shape[1], seed)
    return {
        "push": push,
        "seed": seed,
        "noise": noise,
        "milliseconds": milliseconds,
        "energy_distance": energy_distance(latents, samples),
        "in_support": float((score[outlier == 0] <= 0).mean()),
        "auroc": float(roc_auc_score(outlier, score)),
    }


def gradients(push: Push, dim: int, seed: int, draws: int) -> Tensor:
    """Gradients of pull and push for one batch, over the push's random numbers, ``(draws, P)``."""
    torch.manual_seed(seed)
    backbone, latent = Coupling(dim, **_OPTIONS), Cube(dim)
    compares = push.pulled and not push.entropic
    name = latent.default_pull if compares else latent.confining_pull
    pull = registry.load("pull", name)(latent)
    x = torch.randn(_BATCH, dim)
    found = []
    for draw in range(draws):
        z, term = push(backbone, pull, x, seeded(draw))
        loss = term + pull(z).mean() if push.pulled else term
        parts = torch.autograd.grad(loss, list(backbone.parameters()), materialize_grads=True)
        found.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(found)


def _cost(name: str, dim: int, seed: int) -> tuple[float, float]:
    """Noise and time of a push's gradient."""
    push = make_push({"push": Part(choice=name, options={})}, dim)
    with torch.random.fork_rng(devices=[]):
        gradients(push, dim, seed, 2)  # what is done once
        start = time.process_time()
        found = gradients(push, dim, seed, _DRAWS)
    elapsed = time.process_time() - start
    noise = float(found.var(dim=0).sum() / found.mean(dim=0).square().sum())
    return noise, 1e3 * elapsed / _DRAWS


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """A line for each push: the mean over the seeds, the lowest and the highest of several."""
    lines = []
    for push in PUSHES:
        own = [row for row in rows if row["push"] == push]
        cells = ([row[name] for row in own] for name in _DIGITS)
        lines.append([push, *map(_spread, cells, _DIGITS.values())])
    return lines


def _spread(values: list[float], digits: int) -> str:
    text = f"{fmean(values):.{digits}f}"
    low, high = (f"{each:.{digits}f}" for each in (min(values), max(values)))
    return text if low == high else f"{text} ({low} to {high})"
