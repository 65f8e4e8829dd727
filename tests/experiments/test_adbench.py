"""The clean one-class protocol on real data: train on half the inliers, test on all the rest."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import compactflow
from compactflow.experiments import datasets

FOLDER = Path(
    os.environ.get(
        "COMPACTFLOW_ADBENCH", Path(__file__).parents[3] / "shared" / "data" / "adbench"
    )
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER.is_dir(),
        reason=f"no ADBench data in {FOLDER}; name their folder in COMPACTFLOW_ADBENCH",
    ),
]

# An isolation forest under the same protocol; see the README beside the data.
IFOREST = {"40_vowels": 0.802}


@cache
def auroc(name, **options):
    train, test, outlier = datasets.split(*datasets.load_npz(FOLDER / f"{name}.npz"), seed=0)
    detector = compactflow.build(random_state=0, **options).fit(train)
    scores = detector.signed_distance(test)
    assert np.unique(scores).size > 0.9 * len(np.unique(test, axis=0))
    return roc_auc_score(outlier, scores)


@pytest.mark.parametrize("name", IFOREST)
def test_default_beats_the_isolation_forest(name):
    assert auroc(name) > IFOREST[name]


def test_default_beats_its_untrained_network():
    assert auroc("40_vowels") > auroc("40_vowels", max_steps=1, learning_rate=1e-12)
