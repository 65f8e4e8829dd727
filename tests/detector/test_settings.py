import runpy
from pathlib import Path

import numpy as np
import pytest

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.detector.settings import Settings
from compactflow.latents.gaussian import Gaussian

TABLE = Path(__file__).parents[2] / "docs" / "settings_table.py"


def test_what_is_not_given_is_the_presets():
    settings = Settings.of({"preset": "paper", "max_steps": 7, "backbone_options": {"blocks": 3}})
    assert (settings.max_steps, settings.batch_size, settings.boundary) == (7, 256, "bare")
    assert settings.parts["backbone"].options["blocks"] == 3
    assert settings.parts["backbone"].options["permutation"] == "soft"
    assert settings.parts["push"].choice == "mirror"


@pytest.mark.parametrize(
    ("arguments", "dim", "steps"),
    [
        ({"preset": "paper"}, 20, 600),
        ({"preset": "paper"}, 128, 300),
        ({"push": "mirror"}, 20, 600),
        ({"push": "stein"}, 20, 2000),
        ({"push": "mirror", "max_steps": 900}, 20, 900),
    ],
)
def test_the_mirror_push_takes_fewer_steps_unless_told(arguments, dim, steps):
    settings = Settings.of(arguments | {"score_by": "support"})
    assert settings.training_options(1000, dim, members=1).max_steps == steps


@pytest.mark.parametrize(
    ("latent", "push", "pull"),
    [
        ("cube", "stein", "barrier"),
        ("cube", "mirror", "max-abs"),
        (Gaussian, "stein", "squared"),
        ("ball", "mirror", "euclidean"),
    ],
)
def test_an_open_pull_suits_latent_and_push(latent, push, pull):
    assert Settings.of({"latent": latent, "push": push}).parts["pull"].choice == pull


def test_the_learning_rate_is_the_backbones_own_unless_given():
    assert Settings.of({}).learning_rate == 4e-2
    assert Settings.of({"backbone": "iresnet"}).learning_rate == 3e-3
    assert Settings.of({"learning_rate": 0.5}).learning_rate == 0.5
    # A class is taken as it is, without the preset's options for its name.
    assert Settings.of({"backbone": Coupling}).parts["backbone"].options == {}


def test_numbers_become_pythons():
    settings = Settings.of({"members": np.int8(3), "noise": np.float32(0.5), "device": "cpu"})
    assert (type(settings.members), type(settings.noise)) == (int, float)


@pytest.mark.parametrize(
    "arguments",
    [
        {"members": 0},
        {"members": "many"},
        {"max_steps": 1.5},
        {"batch_size": "auto"},
        {"noise": float("nan")},
        {"boundary": "auto"},
        {"boundary": 0},
        {"learning_rate": float("inf")},
        {"validation_fraction": -0.1},
        {"preset": []},
        {"latent": "tube"},
    ],
)
def test_unfit_arguments_are_named(arguments):
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
        Settings.of(arguments)


def test_a_fit_resolves_its_arguments_once(monkeypatch):
    calls, of = [], Settings.of
    monkeypatch.setattr(Settings, "of", lambda arguments: calls.append(1) or of(arguments))
    detector = compactflow.OneClassFlow(max_steps=1, members=1, boundary=0.5)
    detector.fit(np.random.default_rng(0).normal(size=(60, 2)))
    assert len(calls) == 1
    assert detector.settings_.boundary == 0.5


def test_the_table_of_settings_is_current():
    table = runpy.run_path(str(TABLE))
    assert table["render"]() in table["PAGE"].read_text(), f"run python {TABLE}"


@pytest.mark.parametrize(
    ("dim", "by_neighbours", "by_support"),
    [
        (1, (200, 8), (400, 16)),
        (64, (200, 8), (400, 16)),
        (512, (50, 2), (50, 2)),
        (2000, (12, 1), (12, 1)),
    ],
)
def test_many_features_have_fewer_steps_and_checks(dim, by_neighbours, by_support):
    for score_by, expected in (("neighbours", by_neighbours), ("support", by_support)):
        settings = Settings.of({"score_by": score_by})
        options = settings.training_options(2000, dim, members=4)
        assert (options.max_steps, options.checks) == expected


def test_the_fast_preset_is_the_default_with_smaller_networks():
    fast, default = Settings.of({"preset": "fast"}), Settings.of({})
    blocks = [each.parts["backbone"].options["blocks"] for each in (fast, default)]
    assert 2 * blocks[0] <= blocks[1]
    train = [each.training_options(500, 10, members=4) for each in (fast, default)]
    assert train[0] == train[1]
    assert fast.parts["preprocessing"] == default.parts["preprocessing"]
