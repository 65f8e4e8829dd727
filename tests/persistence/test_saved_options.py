import sys
import types
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
import torch

import compactflow
from compactflow.latents.cube import Cube
from compactflow.plugins import LatentSpec, registry

pytestmark = pytest.mark.usefixtures("small_default")


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
