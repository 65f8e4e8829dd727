import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import compactflow
from compactflow.latents.cube import Cube
from compactflow.storage import ModelFileError, write_atomically


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(200, 3)) * [1, 10, 100]


@pytest.fixture(scope="module")
def detector(X):
    return compactflow.build(
        "coupling", backbone_options={"blocks": 2}, max_steps=20, random_state=0
    ).fit(X)


@pytest.fixture
def model(detector, tmp_path):
    detector.save(tmp_path / "model")
    return tmp_path / "model"


def test_loaded_model_scores_identically(detector, model, X):
    loaded = compactflow.load(model, device="cpu")
    for method in ("signed_distance", "predict", "transform", "log_density"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(detector, method)(X))
    assert loaded.history_ == detector.history_
    assert loaded.offset_ == detector.offset_


def test_pickle_and_clone(detector, X):
    import pickle

    from sklearn.base import clone

    restored = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(restored.predict(X), detector.predict(X))
    assert not hasattr(clone(detector), "flow_")


def test_every_truncation_is_refused(model, tmp_path):
    whole = model.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            compactflow.load(tmp_path / "cut")


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(ModelFileError, match="not a compactflow model"):
        compactflow.load(path)
    with pytest.raises(FileNotFoundError, match="no model file"):
        compactflow.load(tmp_path / "absent")


def test_newer_format_asks_for_an_upgrade(model, tmp_path):
    with safe_open(model, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    save_file(tensors, tmp_path / "newer", metadata=header | {"format_version": "99"})
    with pytest.raises(ModelFileError, match="upgrade"):
        compactflow.load(tmp_path / "newer")
    broken = json.loads(header["description"])
    del broken["params"]
    save_file(tensors, tmp_path / "bad", metadata=header | {"description": json.dumps(broken)})
    with pytest.raises(ModelFileError, match="does not describe"):
        compactflow.load(tmp_path / "bad")


def test_components_without_a_name_cannot_be_saved(X, tmp_path):
    detector = compactflow.build(latent=Cube, max_steps=1).fit(X)
    with pytest.raises(ValueError, match="latent was given as"):
        detector.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("no space")

    with pytest.raises(RuntimeError, match="no space"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_named(detector, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        detector.save(tmp_path / "absent" / "model")


_SAVE_FOREVER = """
import sys, compactflow
detector = compactflow.load(sys.argv[1], device="cpu")
print("ready", flush=True)
while True:
    detector.save(sys.argv[1])
"""


def test_killed_while_saving_leaves_a_whole_model(model, detector, X):
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _SAVE_FOREVER, os.fspath(model)], stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + rng.uniform(0.01, 0.05)
        while time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        loaded = compactflow.load(model, device="cpu")
        np.testing.assert_array_equal(loaded.predict(X), detector.predict(X))
