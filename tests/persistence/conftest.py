import numpy as np
import pytest

import compactflow


@pytest.fixture(scope="session")
def X():
    return np.random.default_rng(0).normal(size=(200, 3)) * [1, 10, 100]


@pytest.fixture(scope="session")
def detector(X):
    return compactflow.build(
        "coupling", backbone_options={"blocks": 2}, members=2, max_steps=3, random_state=0
    ).fit(X)


@pytest.fixture
def model(detector, tmp_path):
    detector.save(tmp_path / "model")
    return tmp_path / "model"
