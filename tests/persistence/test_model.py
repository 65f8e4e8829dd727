import copy
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
import types
from math import inf, nan
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import zuko
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import compactflow
from compactflow import from_zuko
from compactflow.files import write_atomically
from compactflow.latents.cube import Cube
from compactflow.latents.gaussian import Gaussian
from compactflow.persistence import archive
from compactflow.persistence.archive import ArchiveError
from compactflow.persistence.migrations import VERSION
from compactflow.plugins import LatentSpec, registry
from compactflow.pushes.stein import Stein

DATA = Path(__file__).parents[1] / "data"


def raw(detector, X):
    """The scores without the boundary, as older versions gave them."""
    return detector.signed_distance(X) + detector.ensemble_.level


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(200, 3)) * [1, 10, 100]


@pytest.fixture(scope="module")
def detector(X):
    return compactflow.build(
        "coupling", backbone_options={"blocks": 2}, members=2, max_steps=3, random_state=0
    ).fit(X)


@pytest.fixture
def model(detector, tmp_path):
    detector.save(tmp_path / "model")
    return tmp_path / "model"


def test_a_wide_model_is_small_and_scores_identically(tmp_path):
    X = np.random.default_rng(0).normal(size=(1110, 400))
    detector = compactflow.build(members=1, max_steps=1, random_state=0).fit(X)
    detector.save(tmp_path / "model")
    members = 4  # by default
    assert members * (tmp_path / "model").stat().st_size < 15e6
    loaded = compactflow.load(tmp_path / "model")
    assert np.array_equal(loaded.signed_distance(X[:9]), detector.signed_distance(X[:9]))


def test_loaded_model_scores_identically(detector, model, X):
    loaded = compactflow.load(model, device="cpu")
    for method in ("signed_distance", "predict", "transform", "log_density"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(detector, method)(X))
    assert loaded.history_ == detector.history_
    assert loaded.ensemble_.level == detector.ensemble_.level != 0


def test_a_folder_loads_like_a_file(detector, X, tmp_path):
    detector.save(tmp_path / "model", folder=True)
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))
    loaded.set_boundary(0.8).save(tmp_path / "model", folder=True)
    assert compactflow.load(tmp_path / "model").ensemble_.level == loaded.ensemble_.level
    assert len(list((tmp_path / "model").iterdir())) == 2


def by_joblib(detector, folder):
    joblib.dump(detector, folder / "detector.joblib", compress=3)
    return joblib.load(folder / "detector.joblib")


COPIES = {
    "pickle": lambda detector, _: pickle.loads(pickle.dumps(detector)),
    "deepcopy": lambda detector, _: copy.deepcopy(detector),
    "joblib": by_joblib,
}


# Every way copies the same attributes, so one way does for unusual components.
@pytest.mark.parametrize(
    ("way", "options"),
    [
        *((way, {"members": 2}) for way in COPIES),
        ("pickle", {"backbone": "iresnet", "latent": "ball"}),
        ("pickle", {"backbone": "zuko:NSF", "latent": Gaussian, "push": "likelihood"}),
        ("pickle", {"backbone": "normflows:RealNVP", "push": Stein(sigma=0.2)}),
        ("pickle", {"backbone": from_zuko(zuko.flows.NICE(3))}),
    ],
)
def test_copies_decide_alike(way, options, X, tmp_path):
    detector = compactflow.build(**options, max_steps=1, random_state=0).fit(X)
    copied = COPIES[way](detector, tmp_path)
    for method in ("predict", "signed_distance", "p_values", "sample"):
        given = (5, 0) if method == "sample" else (X,)
        np.testing.assert_array_equal(
            getattr(copied, method)(*given), getattr(detector, method)(*given)
        )
    copied.set_boundary(0.5)
    copied.fit(X[:50] + 1)
    assert detector.boundary is None
    assert (copied.signed_distance(X) != detector.signed_distance(X)).any()


def test_a_bridged_transform_can_be_pickled():
    transform = zuko.transforms.SoftclipTransform(bound=2.0)
    backbone = pickle.loads(pickle.dumps(from_zuko(transform, dim=2)))
    x = torch.tensor([[0.5, -1.0]])
    assert torch.equal(backbone(x), transform(x))


def test_a_clone_is_unfitted(detector):
    cloned = clone(detector)
    assert cloned.get_params() == detector.get_params()
    with pytest.raises(NotFittedError):
        cloned.predict(np.zeros((1, 3)))


def test_other_processes_take_a_fitted_detector(detector, X, tmp_path):
    (tmp_path / "detector").write_bytes(pickle.dumps(detector))
    np.save(tmp_path / "X.npy", X)
    program = (
        "import pickle, sys, numpy as np\n"
        "detector = pickle.load(open('detector', 'rb'))\n"
        "np.save('scores.npy', detector.signed_distance(np.load('X.npy')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), detector.signed_distance(X))


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


EVERY = [pytest.param(1, marks=pytest.mark.slow), 16]


@pytest.mark.parametrize("stride", EVERY)
def test_every_truncation_is_refused(tiny, stride):
    data, folder = tiny
    for length in [*range(20), *range(20, len(data), stride)]:
        refused(folder / "cut", data[:length])
    refused(folder / "long", data + b"\0")


@pytest.mark.parametrize("stride", EVERY)
def test_a_flip_of_every_byte_is_refused(tiny, stride):
    data, folder = tiny
    rng = np.random.default_rng(0)
    for position in range(int(rng.integers(stride)), len(data), stride):
        refused(folder / "flipped", flipped(data, position, int(rng.integers(1, 256))))


@pytest.mark.parametrize("stride", EVERY)
def test_every_truncation_and_flip_in_a_folder_is_refused(tiny, stride):
    _, folder = tiny
    compactflow.load(folder / "model").save(folder / "whole", folder=True)
    rng = np.random.default_rng(0)
    for path in (folder / "whole").iterdir():
        data = path.read_bytes()
        for position in range(int(rng.integers(stride)), len(data), stride):
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


def edit(model, change):
    """Change a model's content, and seal it as `save` would."""
    _, content = archive.read(model, "model")
    change(content)
    archive.write(model, "model", VERSION, content)


def test_newer_format_asks_for_an_upgrade(model):
    archive.write(model, "model", 99, {})
    with pytest.raises(ArchiveError, match="upgrade"):
        compactflow.load(model)


def put(value, *keys, new=False):
    """A change that puts a value where the keys lead, in place of another unless it is new."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        assert (keys[-1] in content) != new, keys
        content[keys[-1]] = value

    return change


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


@pytest.mark.parametrize(
    ("distribution", "advice"),
    [("nowhere-flows", "pip install nowhere-flows$"), ("x; rm -rf ~", "not installed$")],
)
def test_a_missing_plugin_is_named_with_its_install_line(model, distribution, advice):
    for kind in ("latent", "pull"):
        edit(model, put(distribution, "components", kind, "distribution"))
    with pytest.raises(ArchiveError, match=f"(?s)the latent 'cube'.*the pull 'barrier'.*{advice}"):
        compactflow.load(model)


def test_an_error_names_the_versions_that_differ(model):
    for kind in ("backbone", "latent", "pull", "push", "preprocessing"):
        edit(model, put("0.0.1", "components", kind, "version"))
    edit(model, put({}, "weights"))
    with pytest.raises(ArchiveError, match=r"saved with compactflow 0\.0\.1, here "):
        compactflow.load(model)


@pytest.mark.parametrize(
    ("name", "columns", "distances", "offset"),
    [
        # Written by compactflow 0.1.0, with these scores.
        (
            "model-1",
            ["flow", "head"],
            [-0.9022635139626008, 1.2579746338104267, 20.100668129084923],
            -0.033954405410698524,
        ),
        (
            "model-1-paper",
            None,
            [-2.2697030952286754, 0.000292801159198941, 408.4167286918098],
            0.0,
        ),
    ],
)
def test_version_1_loads(name, columns, distances, offset, tmp_path):
    old = compactflow.load(DATA / f"{name}.safetensors", device="cpu")
    old.save(tmp_path / "new")
    X = pd.DataFrame([[3.0, 3.0], [4.0, -20.0], [100.0, 3.0]], columns=columns)
    for detector in (old, compactflow.load(tmp_path / "new", device="cpu")):
        assert list(getattr(detector, "feature_names_in_", [])) == (columns or [])
        scores = raw(detector, X if columns else X.to_numpy())
        np.testing.assert_allclose(scores, distances, rtol=1e-9)
        assert detector.ensemble_.level == -offset
        assert detector.history_["step"][-1] == detector.max_steps
        if columns:  # the first files held no calibration scores
            with pytest.raises(ValueError, match="fit it again"):
                detector.set_boundary(0.9)
        else:
            assert len(detector.calibration_.scores) == 6


def test_version_1_keeps_the_order_of_parameters_and_the_sharpness():
    detector = compactflow.load(DATA / "model-1-autoregressive.safetensors", device="cpu")
    X = np.random.default_rng(0).normal(size=(60, 3))[:3]
    distances = [-0.44598467044457935, -0.22221477653215416, 0.65229298302269]
    densities = [0.3640187056735723, 0.25327029465414697, -6.716965834601274]
    np.testing.assert_allclose(raw(detector, X), distances, rtol=1e-9)
    np.testing.assert_allclose(detector.log_density(X), densities, rtol=1e-9)


def test_version_2_loads_as_a_single_flow(tmp_path):
    old = compactflow.load(DATA / "model-2.safetensors", device="cpu")
    old.save(tmp_path / "new")
    X = np.random.default_rng(0).normal(3, 1, size=(60, 3))[:3]
    for detector in (old, compactflow.load(tmp_path / "new", device="cpu")):
        assert detector.members == len(detector.flows_) == 1
        distances = [-0.5483732671124377, -0.1795851927051343, 0.6303431854512975]
        densities = [-0.22484021048388697, -0.4843299753297962, -2.8434020861604354]
        np.testing.assert_allclose(raw(detector, X), distances, rtol=1e-9)
        np.testing.assert_allclose(detector.log_density(X), densities, rtol=1e-9)
        np.testing.assert_allclose(detector.p_values(X), [1, 6 / 7, 4 / 7])


# Version 3 does not name the activation, version 4 has one first layer for all flows, version 5 a
# latent for each, and version 6 reference rows beside the scores.
@pytest.mark.parametrize(
    ("version", "distances", "densities"),
    [
        (
            3,
            [-0.49448942985795985, -0.18823717824914804, 0.6407614091637871],
            [-0.2791473948259549, -0.5095334766010221, -2.7770738580190617],
        ),
        (
            4,
            [-0.5362288927888679, -0.32430554952869417, 0.49017622976749653],
            [-0.3244036419151816, -0.43357855338948165, -2.68349011877524],
        ),
        (
            5,
            [-0.6507773971157054, -0.23727198463908222, 0.5182050241691105],
            [-0.31283149309448516, -0.5325704473059923, -2.784180147376849],
        ),
        (
            6,
            [-0.5896906246787164, -0.5004122537952735, 0.5773751815875694],
            [-0.09665232528861745, 0.9357965412575023, -2.7367655842860485],
        ),
    ],
)
def test_an_older_ensemble_scores_as_it_did(version, distances, densities, tmp_path):
    old = compactflow.load(DATA / f"model-{version}.safetensors", device="cpu")
    old.save(tmp_path / "new")
    X = np.random.default_rng(0).normal(3, 1, size=(60, 3))[:3]
    for detector in (old, compactflow.load(tmp_path / "new", device="cpu")):
        assert len(detector.flows_) == 2
        np.testing.assert_allclose(raw(detector, X), distances, rtol=1e-9)
        np.testing.assert_allclose(detector.log_density(X), densities, rtol=1e-9)


def test_networks_of_bridges_that_saw_far_rows_still_do(X, tmp_path):
    old = {"name": "zuko:MAF", "options": {"horizon": None, "transforms": 1}}
    detector = compactflow.build(
        backbone=["coupling", old],
        max_steps=1,
        members=1,
        random_state=0,
        score_by="support",
    ).fit(X)
    detector.save(tmp_path / "model")
    _, content = archive.read(tmp_path / "model", "model")
    link = content["components"]["backbone"]["options"]["links"][1]
    assert link["options"].pop("horizon", 1.0) is None  # which format 7 did not have
    archive.write(tmp_path / "model", "model", 7, content)
    far = 1e3 * X
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.signed_distance(far), detector.signed_distance(far))


@pytest.mark.usefixtures("first_party_plugins")
def test_what_a_latent_learned_is_loaded_and_kept_once(tmp_path):
    old = compactflow.load(DATA / "model-5-shell.safetensors", device="cpu")
    old.save(tmp_path / "new")
    weights = archive.read(tmp_path / "new", "model")[1]["weights"]
    assert [name for name in weights if "latent" in name] == ["pull.latent.weights"]
    angle = np.linspace(0, 2, 3)[:, None]
    X = np.array([[1.0], [3.0], [6.0]]) * np.hstack([np.cos(angle), np.sin(angle)])
    for detector in (old, compactflow.load(tmp_path / "new", device="cpu")):
        assert detector.flow_.latent.weights.tolist() == pytest.approx([1 / 3] * 3)
        np.testing.assert_allclose(
            raw(detector, X),
            [0.02051546054226755, -0.08381390772029285, 0.44098627105371513],
            rtol=1e-9,
        )
        np.testing.assert_allclose(
            detector.log_density(X),
            [-0.7232589572577531, -0.6399136207275689, -1.3389136298900666],
            rtol=1e-9,
        )


def test_migrations_ask_no_class_of_today(monkeypatch):
    expected = compactflow.load(DATA / "model-1.safetensors", device="cpu").pull_
    monkeypatch.setattr(Cube, "confining_pull", "max-abs")
    loaded = compactflow.load(DATA / "model-1.safetensors", device="cpu")
    assert type(loaded.pull_) is type(expected)
    assert loaded.pull == "barrier"


def test_a_model_is_saved_as_it_was_fitted(X, tmp_path):
    detector = compactflow.build(max_steps=1, members=1, random_state=0).fit(X)
    detector.set_params(backbone="autoregressive", latent="ball", pull="gauge")
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    assert (loaded.backbone, loaded.latent, loaded.pull) == ("coupling", None, None)
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))


@pytest.mark.parametrize("folder", [False, True])
def test_every_member_is_kept(folder, X, tmp_path):
    detector = compactflow.build(members=3, max_steps=1, random_state=0).fit(X)
    detector.save(tmp_path / "model", folder=folder)
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    assert len(loaded.flows_) == 3
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))
    np.testing.assert_array_equal(loaded.log_density(X), detector.log_density(X))


def test_later_defaults_do_not_change_a_model(model, detector, X, monkeypatch, tmp_path):
    from compactflow.detector import presets

    default = presets.PRESETS[None]
    other = dataclasses.replace(default, pull="max-abs", backbone_options={"width": 32})
    monkeypatch.setitem(presets.PRESETS, None, other)
    loaded = compactflow.load(model, device="cpu")
    loaded.save(tmp_path / "again")
    for same in (loaded, compactflow.load(tmp_path / "again", device="cpu")):
        np.testing.assert_array_equal(same.log_density(X), detector.log_density(X))
        assert same.pull == "barrier"
        assert same.backbone_options == {"blocks": 2, "width": 64, "clamp": 1.0}


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("coupling", {"width": 8}),
        ("autoregressive", {"width": 8}),
        ("iresnet", {"width": 8}),
        ("zuko:NSF", {"transforms": 1, "hidden_features": [8]}),
        ("normflows:RealNVP", {"layers": 2, "width": 8}),
    ],
)
def test_every_family_of_backbones_loads(backbone, options, X, tmp_path):
    detector = compactflow.build(
        backbone, max_steps=1, random_state=0, backbone_options=options
    ).fit(X)
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))


def test_loads_in_another_precision(model, detector, X):
    loaded = compactflow.load(model, device="cpu", dtype="float32")
    assert {each.dtype for each in loaded.flow_.backbone.parameters()} == {torch.float32}
    np.testing.assert_allclose(
        loaded.signed_distance(X + 1e6), detector.signed_distance(X + 1e6), rtol=1e-4
    )
    np.testing.assert_allclose(loaded.inverse_transform(loaded.transform(X)), X, rtol=1e-3)
    with pytest.raises(ValueError, match="dtype"):
        compactflow.load(model, dtype="int8")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_loads_on_another_device(model, detector, X, tmp_path):
    loaded = compactflow.load(model, device="cuda")
    np.testing.assert_allclose(loaded.signed_distance(X), detector.signed_distance(X), rtol=1e-6)
    loaded.save(tmp_path / "back")
    back = compactflow.load(tmp_path / "back", device="cpu")
    np.testing.assert_array_equal(back.signed_distance(X), detector.signed_distance(X))


def test_components_without_a_name_cannot_be_saved(X, tmp_path):
    detector = compactflow.build(latent=Cube(3), max_steps=1, members=1).fit(X)
    with pytest.raises(ValueError, match="latent was given as"):
        detector.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_class_is_saved_by_its_name(X, tmp_path):
    detector = compactflow.build(latent=Cube, max_steps=1, members=1).fit(X)
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    assert loaded.latent == "cube"
    np.testing.assert_array_equal(loaded.signed_distance(X), detector.signed_distance(X))


@pytest.mark.parametrize("name", ["slab", "cube"])
def test_a_registered_component_must_be_registered_to_load(name, X, tmp_path):
    target = "compactflow.latents.ball:Ball"
    with registry.isolated():
        compactflow.register(LatentSpec(name=name, target=target), override=True)
        detector = compactflow.build(latent=name, max_steps=1, members=1).fit(X)
        detector.save(tmp_path / "model")
        compactflow.load(tmp_path / "model")
    with pytest.raises(ArchiveError, match=f"register '{name}' first.*{target}"):
        compactflow.load(tmp_path / "model")


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


@pytest.mark.slow
def test_killed_while_saving_leaves_a_whole_model(model, detector, X):
    rng = np.random.default_rng(0)
    for _ in range(2):
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


class Stretched(Cube):
    """A cube with an option of any type."""

    def __init__(self, dim, *, option=None):
        super().__init__(dim)
        self.option = option


@pytest.fixture
def stretched(monkeypatch):
    """The name of a latent that takes any option."""
    module = types.ModuleType("stretched_latent")
    module.Stretched = Stretched
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with registry.isolated():
        compactflow.register(LatentSpec(name="stretched", target="stretched_latent:Stretched"))
        yield "stretched"


@pytest.mark.parametrize(
    ("option", "back"),
    [
        (torch.tensor([1.0, nan]), "tensor([1., nan])"),
        ([torch.arange(2), {"a": torch.ones(1)}], "[tensor([0, 1]), {'a': tensor([1.])}]"),
        ({1: (2, 3.5), None: "x"}, "{1: [2, 3.5], None: 'x'}"),
        (np.float32(1.5), "1.5"),
        (inf, "inf"),
    ],
)
def test_options_come_back(option, back, stretched, X, tmp_path):
    options = {"latent": stretched, "latent_options": {"option": option}}
    compactflow.build(**options, max_steps=1, members=1).fit(X).save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    assert repr(loaded.latent_options["option"]) == back
    assert repr(loaded.flow_.latent.option) == back
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    compactflow.load(tmp_path / "again", device="cpu").fit(X)


@pytest.mark.parametrize(
    "option", [len, {1, 2}, 1j, b"x", torch.float32, np.zeros(2), object(), Path(), [{"a": len}]]
)
def test_an_option_that_a_file_cannot_hold_is_refused_before_the_fit(
    option, stretched, X, monkeypatch
):
    monkeypatch.setattr("compactflow.detector.fitting.train", None)
    detector = compactflow.build(latent=stretched, latent_options={"option": option})
    with pytest.raises(TypeError, match=r"latent_options/option.*use numbers"):
        detector.fit(X)
    assert not hasattr(detector, "ensemble_")
