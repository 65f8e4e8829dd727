import dataclasses
import multiprocessing
import os
import time

import numpy as np
import pytest
import torch
from edits import edit, put

import compactflow
from compactflow.files import write_atomically
from compactflow.latents.cube import Cube
from compactflow.persistence.archive import ArchiveError
from compactflow.plugins import LatentSpec, registry


@pytest.mark.slow
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
    np.testing.assert_allclose(back.signed_distance(X), detector.signed_distance(X), atol=1e-12)


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


def save_forever(detector, path, begun):
    while True:
        detector.save(path)
        begun.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_while_saving_leaves_a_whole_model(model, detector, X):
    rng = np.random.default_rng(0)
    fork = multiprocessing.get_context("fork")
    for _ in range(3):
        begun = fork.Event()
        process = fork.Process(target=save_forever, args=(detector, model, begun))
        process.start()
        assert begun.wait(60)
        deadline = time.monotonic() + rng.uniform(0.01, 0.05)
        while time.monotonic() < deadline:
            pass
        process.kill()
        process.join()
        loaded = compactflow.load(model, device="cpu")
        np.testing.assert_array_equal(loaded.predict(X), detector.predict(X))
