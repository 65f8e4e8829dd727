import sys
from types import FunctionType

import pytest
from sites import latents

from compactflow.backbones.base import Backbone
from compactflow.engines.base import Engine
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.plugins import registry
from compactflow.plugins.builtin import BUILTINS
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

BASES = {
    "backbone": Backbone,
    "latent": Latent,
    "pull": Pull,
    "push": Push,
    "preprocessing": Preprocessing,
    "score": Score,
    "engine": Engine,
}


@pytest.mark.parametrize("spec", BUILTINS, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_every_builtin_is_a_complete_spec_of_an_importable_class_of_its_kind(spec):
    found = registry.load(spec.kind, spec.name)
    made = type(found(2)) if isinstance(found, FunctionType) else found
    assert issubclass(made, BASES[spec.kind])
    assert spec.summary
    assert spec.tags


def test_a_builtin_is_found_without_looking_at_plugins(site):
    module = site.install("torus", latents("torus"))
    for name in ("cube", "compactflow:cube"):
        row = registry.find("latent", name)
        assert (row.name, row.distribution, row.status) == ("cube", "compactflow", "built-in")
    assert module not in sys.modules


def test_a_name_belongs_to_one_kind(site):
    with pytest.raises(registry.UnknownComponentError, match="there is no backbone 'cube'"):
        registry.find("backbone", "cube")


@pytest.mark.parametrize(
    "look", [lambda: registry.find("shape", "cube"), lambda: registry.available("shape")]
)
def test_an_unknown_kind_is_refused(look):
    with pytest.raises(ValueError, match="kind must be one of backbone, latent, pull, push"):
        look()


def test_a_class_has_the_name_it_is_found_under():
    assert registry.name_of("latent", registry.load("latent", "ball")) == "ball"
    assert registry.name_of("backbone", registry.load("backbone", "zuko:NSF")) == "zuko:NSF"
    assert registry.name_of("latent", object) is None


def test_names_with_a_colon_work_with_their_distribution_too():
    assert registry.find("backbone", "compactflow:zuko:NSF").name == "zuko:NSF"
