import sys
from math import inf, nan

import numpy as np
import pytest
import torch
from edits import edit, put
from safetensors.numpy import save_file

import compactflow
from compactflow.persistence.archive import ArchiveError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The bytes of a model as small as one can be, and a folder to put others in."""
    folder = tmp_path_factory.mktemp("tiny")
    options = {"backbone_options": {"blocks": 1, "width": 2}, "members": 1, "max_steps": 1}
    detector = compactflow.build(**options, random_state=0)
    detector.fit(np.arange(8.0).reshape(-1, 1)).save(folder / "model")
    compactflow.load(folder / "model")
    return (folder / "model").read_bytes(), folder


def refused(path, data):
    path.write_bytes(data)
    with pytest.raises(ArchiveError):
        compactflow.load(path)


def places(data):
    """Some at the beginning, and then one of a few: one checksum covers them all."""
    return [*range(20), *range(20, len(data), 31), len(data) - 1]


def test_every_truncation_is_refused(tiny):
    data, folder = tiny
    for length in places(data):
        refused(folder / "cut", data[:length])
    refused(folder / "long", data + b"\0")


def test_a_flip_of_every_byte_is_refused(tiny):
    data, folder = tiny
    rng = np.random.default_rng(0)
    for position in places(data):
        refused(folder / "flipped", flipped(data, position, int(rng.integers(1, 256))))


def test_every_truncation_and_flip_in_a_folder_is_refused(tiny):
    _, folder = tiny
    compactflow.load(folder / "model").save(folder / "whole", folder=True)
    rng = np.random.default_rng(0)
    for path in (folder / "whole").iterdir():
        data = path.read_bytes()
        for position in places(data):
            for changed in (
                data[:position],
                flipped(data, position, int(rng.integers(1, 256))),
            ):
                path.write_bytes(changed)
                with pytest.raises(ArchiveError):
                    compactflow.load(folder / "whole")
        path.write_bytes(data)
    compactflow.load(folder / "whole")


def flipped(data, position, flip):
    return data[:position] + bytes([data[position] ^ flip]) + data[position + 1 :]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(ArchiveError, match="not a compactflow model"):
        compactflow.load(path)
    with pytest.raises(FileNotFoundError, match="no model file"):
        compactflow.load(tmp_path / "absent")


SCALE = ("weights", "networks.0.blocks.0.scale")


BLOCKS = ("components", "backbone", "options", "blocks")


HOSTILE = {
    "an entry is missing": lambda content: content.pop("offset"),
    "an entry too many": put(1, "code", new=True),
    "no mapping": put([], "params"),
    "no flows": put(0, "members"),
    "no features": put(0, "dim"),
    "flows too many": put(10**9, "members"),
    "a flow too many": put(3, "members"),
    "a flow too few": put(1, "members"),
    "features too many": put(10**9, "dim"),
    "a feature too few": put(2, "dim"),
    "half a feature": put(2.5, "dim"),
    "no weights": put({}, "weights"),
    "weights of another shape": put(torch.zeros(7), *SCALE),
    "weights are numbers": put(1.0, *SCALE),
    "a weight too many": put(torch.zeros(1), "weights", "more", new=True),
    "NaN weights": put(torch.full((3,), nan), *SCALE),
    "infinite weights": put(torch.full((3,), inf), *SCALE),
    "NaN preprocessing": put(torch.full((3,), nan), "weights", "layers.0.unit"),
    "another dimension of a flow": put(torch.eye(2), "weights", "layers.1.decorrelation.axes"),
    "huge dimension": put(torch.zeros(1_000_000), "weights", "layers.0.unit"),
    "huge number of blocks": put(10**15, *BLOCKS),
    "huge width": put(10**9, "components", "backbone", "options", "width"),
    "no blocks": put(-1, *BLOCKS),
    "blocks of text": put("3", *BLOCKS),
    "unknown option": put(1, "components", "backbone", "options", "nope", new=True),
    "unknown argument": put(1, "params", "nope", new=True),
    "argument of another type": put([], "params", "preset"),
    "argument out of range": put(-1, "params", "max_steps"),
    "a component is missing": lambda content: content["components"].pop("latent"),
    "a component is a list": put([], "components", "latent"),
    "a component of another kind": put("coupling", "components", "latent", "name"),
    "a path as name": put("../../latent", "components", "latent", "name"),
    "an import as name": put("os:system", "components", "latent", "name"),
    "a module as distribution": put("antigravity", "components", "latent", "distribution"),
    "a number as name": put(3, "components", "latent", "name"),
    "a list as offset": put([0.0], "offset"),
    "an infinite offset": put(inf, "offset"),
    "no calibration scores": put({}, "calibration"),
    "calibration scores of another shape": put(
        torch.zeros(2, 2, dtype=torch.float64), "calibration", "scores"
    ),
    "NaN calibration scores": put(
        torch.full((5,), nan, dtype=torch.float64), "calibration", "scores"
    ),
    "NaN pull weight": put(nan, "pull_weight"),
    "feature names of another number": put(["a"], "feature_names"),
    "feature names are numbers": put([1, 2, 3], "feature_names"),
    "history is no list": put(3, "history", "loss"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_models_are_refused(model, name):
    edit(model, HOSTILE[name])
    modules = set(sys.modules)
    with pytest.raises(ArchiveError, match=r"does not describe a model|cannot be loaded"):
        compactflow.load(model)
    assert not {"antigravity"} & (set(sys.modules) - modules)


def test_only_the_registry_says_what_to_import(model, X):
    edit(model, put("antigravity:Cube", "components", "latent", "target"))
    compactflow.load(model)
    assert "antigravity" not in sys.modules
