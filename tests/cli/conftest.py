import numpy as np
import pandas as pd
import pytest
from commands import STEPS

from compactflow.cli import main


@pytest.fixture(autouse=True)
def _small(small_default):
    """Commands do not ask how large a network is."""


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(60, 3)) * [1, 10, 100], columns=["a", "b c", "d.e"])


@pytest.fixture
def folder(tmp_path, monkeypatch, frame):
    """A working folder with a training table."""
    monkeypatch.chdir(tmp_path)
    frame.to_csv("train.csv", index=False)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The bytes of a small model of the columns a and b."""
    folder = tmp_path_factory.mktemp("trained")
    X = np.random.default_rng(0).normal(size=(60, 2))
    pd.DataFrame(X, columns=["a", "b"]).to_csv(folder / "train.csv", index=False)
    arguments = ["fit", str(folder / "train.csv"), "--out", str(folder / "model"), *STEPS]
    assert main(arguments) == 0
    return (folder / "model").read_bytes()


@pytest.fixture
def model(folder, trained):
    path = folder / "model"
    path.write_bytes(trained)
    return path
