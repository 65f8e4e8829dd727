import numpy as np
import pytest
from benches import save

from compactflow.experiments.benchmark import detectors
from compactflow.experiments.benchmark.detectors import Fitted


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    save(folder / "one.npz", seed=1)
    save(folder / "two.npz", dim=4, inliers=81, seed=2)
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def calls(monkeypatch):
    """A detector that records what it is fitted on."""
    calls = []

    def fit(train, seed):
        calls.append((len(train), seed))
        return Fitted(lambda rows: np.linalg.norm(rows - train.mean(axis=0), axis=1))

    monkeypatch.setitem(detectors.DETECTORS, "recorder", fit)
    return calls
