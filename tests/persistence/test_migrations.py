from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import compactflow
from compactflow.latents.cube import Cube
from compactflow.persistence import archive
from compactflow.persistence.archive import ArchiveError

DATA = Path(__file__).parents[1] / "data"


def raw(detector, X):
    """The scores without the boundary, as older versions gave them."""
    return detector.signed_distance(X) + detector.ensemble_.level


def test_newer_format_asks_for_an_upgrade(model):
    archive.write(model, "model", 99, {})
    with pytest.raises(ArchiveError, match="upgrade"):
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
