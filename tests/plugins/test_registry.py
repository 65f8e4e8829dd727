import sys

import pytest
from sites import hook, latents, rows

from compactflow.backbones.base import Backbone
from compactflow.plugins import (
    BackboneSpec,
    ComponentSpec,
    LatentSpec,
    PullSpec,
    registry,
)


def test_a_clash_is_an_error_only_when_the_bare_name_is_asked_for(site):
    one = site.install("torus-one", latents("torus", "lens"))
    two = site.install("torus-two", latents("torus"))
    with pytest.raises(
        registry.AmbiguousComponentError, match="'torus-one:torus' or 'torus-two:torus'"
    ):
        registry.find("latent", "torus")
    assert registry.load("latent", "torus-one:torus") is sys.modules[one].Part
    assert registry.load("latent", "torus-two:torus") is sys.modules[two].Part
    assert registry.find("latent", "lens").distribution == "torus-one"
    assert {(row.name, row.status) for row in rows("torus-one")} == {
        ("torus", "clash"),
        ("lens", "plugin"),
    }


def test_the_same_component_name_in_two_kinds_is_no_clash(site):
    site.install("torus-one", latents("torus"))
    site.install(
        "torus-two", hook("return [PullSpec(name='torus', target='m:A')]", "compactflow_pulls")
    )
    assert registry.find("latent", "torus").distribution == "torus-one"
    assert registry.find("pull", "torus").distribution == "torus-two"


def test_two_distributions_may_use_the_same_entry_point_name(site):
    site.install("one", latents("torus"), entry_point="same")
    site.install("two", latents("lens"), entry_point="same")
    assert registry.find("latent", "torus").distribution == "one"
    assert registry.find("latent", "lens").distribution == "two"


# What is said when a name cannot be used
def test_an_unknown_name_lists_what_there_is_and_the_close_match(site):
    site.install("torus", latents("torus"))
    site.install("lens-one", latents("lens"))
    site.install("lens-two", latents("lens"))
    with pytest.raises(registry.UnknownComponentError) as caught:
        registry.find("latent", "TORSU")
    message = str(caught.value)
    assert message.startswith("there is no latent 'TORSU'; did you mean 'torus'? (known: cube,")
    for name in ("ball", "gaussian", "torus", "lens-one:lens", "lens-two:lens"):
        assert name in message
    assert "coupling" not in message


def test_an_unknown_name_far_from_all_others_gets_no_suggestion(site):
    with pytest.raises(registry.UnknownComponentError, match=r"there is no pull 'zzz' \(known: "):
        registry.find("pull", "zzz")


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_module:Part", "ModuleNotFoundError: .*no_such_module"),
        ("broken_target:NoSuchClass", "AttributeError: .*NoSuchClass"),
        ("broken_target:calls", "not a class"),
    ],
)
def test_a_target_that_cannot_be_loaded_names_its_plugin(site, target, cause):
    source = hook(f"return [LatentSpec(name='torus', target={target!r})]")
    site.install("broken-target", source, version="0.7")
    with pytest.raises(
        registry.ComponentLoadError, match=rf"'torus' of broken-target 0\.7 .*{target}.*{cause}"
    ):
        registry.load("latent", "torus")


# Classes and instances
def test_resolve_looks_up_names_and_passes_classes_and_instances_through(site):
    cube = registry.resolve("latent", "cube")
    assert cube is registry.load("latent", "cube")
    assert registry.resolve("latent", cube) is cube
    instance = cube(2)
    assert registry.resolve("latent", instance) is instance


# Registration at run time
def own_latent(name):
    return LatentSpec(name=name, target="compactflow.latents.ball:Ball", summary="Mine")


def test_a_registered_component_is_found_and_listed(site):
    registry.register(own_latent("mine"))
    row = registry.find("latent", "mine")
    assert (row.status, row.distribution) == ("registered", "")
    assert row in registry.available("latent")
    assert registry.load("latent", "mine") is registry.load("latent", "ball")


def test_a_builtin_name_is_taken_over_only_by_override(site):
    cube, ball = registry.load("latent", "cube"), registry.load("latent", "ball")
    with pytest.raises(registry.InvalidPluginError, match=r"taken by compactflow .*override=True"):
        registry.register(own_latent("cube"))
    assert registry.load("latent", "cube") is cube
    registry.register(own_latent("cube"), override=True)
    assert registry.load("latent", "cube") is ball
    assert registry.load("latent", "compactflow:cube") is cube
    assert [row.status for row in registry.available("latent") if row.name == "cube"] == [
        "registered"
    ]


def test_a_plugin_name_is_taken_over_only_by_override(site):
    module = site.install("torus-one", latents("torus"))
    with pytest.raises(registry.InvalidPluginError, match=r"taken by torus-one 1\.0"):
        registry.register(own_latent("torus"))
    registry.register(own_latent("torus"), override=True)
    assert registry.find("latent", "torus").status == "registered"
    assert registry.load("latent", "torus-one:torus") is sys.modules[module].Part


def test_an_override_settles_a_clash(site):
    site.install("torus-one", latents("torus"))
    site.install("torus-two", latents("torus"))
    with pytest.raises(registry.InvalidPluginError, match=r"torus-one 1\.0 and torus-two 1\.0"):
        registry.register(own_latent("torus"))
    registry.register(own_latent("torus"), override=True)
    assert registry.find("latent", "torus").status == "registered"


def test_a_registered_name_is_taken_over_only_by_override(site):
    registry.register(own_latent("mine"))
    other = LatentSpec(name="mine", target="compactflow.latents.cube:Cube")
    with pytest.raises(registry.InvalidPluginError, match="taken by a registered spec"):
        registry.register(other)
    registry.register(other, override=True)
    assert registry.load("latent", "mine") is registry.load("latent", "cube")


@pytest.mark.parametrize(
    "spec",
    [
        "torus",
        LatentSpec,
        ComponentSpec(name="torus", target="m:A"),
        PullSpec(name="My Torus", target="m:A"),
        PullSpec(name="torus-one:torus", target="m:A"),
        BackboneSpec(name="torus", target="m.A"),
        BackboneSpec(name="torus", target=Backbone),
    ],
    ids=repr,
)
def test_a_malformed_spec_is_not_registered(site, spec):
    with pytest.raises(registry.InvalidPluginError):
        registry.register(spec)
    assert "registered" not in [row.status for row in registry.available()]


def test_isolation_undoes_registrations_and_discovery(site):
    with registry.isolated():
        registry.register(own_latent("mine"))
    with pytest.raises(registry.UnknownComponentError):
        registry.find("latent", "mine")
    site.install("torus", latents("torus"))
    with registry.isolated():
        assert registry.find("latent", "torus").status == "plugin"
    with pytest.raises(registry.UnknownComponentError):
        registry.find("latent", "torus")
