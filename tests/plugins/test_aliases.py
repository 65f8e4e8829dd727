"""Hooks of today and before, and the names that a component had before."""

import dataclasses
import sys
from typing import get_args

import numpy as np
import pytest
from sites import hook, rows

import compactflow
from compactflow.plugins import Kind, LatentSpec, registry


def test_one_hook_gives_specs_of_any_kind(site):
    body = """
        from compactflow.plugins import BackboneSpec, EngineSpec, PreprocessingSpec, PushSpec
        from compactflow.plugins import ScoreSpec
        kinds = BackboneSpec, EngineSpec, LatentSpec, PreprocessingSpec, PullSpec, PushSpec
        kinds += (ScoreSpec,)
        return [kind(name='all', target=f'{__name__}:Part') for kind in kinds]
    """
    module = site.install("all-kinds", hook(body))
    assert {row.kind for row in rows("all-kinds")} == set(get_args(Kind))
    for kind in get_args(Kind):
        assert registry.resolve(kind, "all") is sys.modules[module].Part
        assert [row.kind for row in rows("all-kinds", kind)] == [kind]


@pytest.mark.parametrize("kind", ["backbone", "latent", "pull", "push"])
def test_the_older_hooks_work_and_say_that_they_go(site, kind):
    name = f"{kind}es" if kind == "push" else f"{kind}s"
    spec = f"{kind.capitalize()}Spec"
    body = f"from compactflow import plugins\nreturn [plugins.{spec}(name='old', target='m:A')]"
    site.install("older", hook(body, f"compactflow_{name}"))
    with pytest.warns(DeprecationWarning, match=f"older implements compactflow_{name}"):
        assert registry.find(kind, "old").distribution == "older"


def aliased(name, *aliases):
    return hook(f"return [LatentSpec(name={name!r}, target='m:A', aliases={aliases!r})]")


def test_a_renamed_component_is_found_by_its_old_name(site):
    site.install("one", aliased("torus", "doughnut"))
    row = registry.find("latent", "torus")
    assert registry.find("latent", "doughnut") == row
    assert registry.find("latent", "one:doughnut") == row
    with pytest.raises(registry.UnknownComponentError):
        registry.find("pull", "doughnut")


def test_a_name_goes_before_an_alias(site):
    site.install("one", aliased("torus", "doughnut"))
    site.install("two", aliased("doughnut"))
    assert registry.find("latent", "doughnut").distribution == "two"
    assert {row.status for row in (*rows("one"), *rows("two"))} == {"plugin"}
    assert registry.find("latent", "one:doughnut").name == "torus"


def test_an_alias_of_two_plugins_is_ambiguous(site):
    site.install("one", aliased("torus", "doughnut"))
    site.install("two", aliased("ring", "doughnut"))
    with pytest.raises(registry.AmbiguousComponentError, match="'one:torus' or 'two:ring'"):
        registry.find("latent", "doughnut")


def test_presets_know_a_component_by_its_aliases_too(site):
    from compactflow.detector.settings import Settings

    row = registry.find("backbone", "coupling")
    assert row.spec is not None
    renamed = dataclasses.replace(row.spec, aliases=("affine",))
    registry.register(renamed, override=True)
    one, other = (Settings.of({"backbone": name}) for name in ("coupling", "affine"))
    assert one.learning_rate == other.learning_rate
    assert one.parts["backbone"].options == other.parts["backbone"].options
    assert one.parts["backbone"].options


def test_a_registered_alias_works_unless_it_is_taken(site):
    target = "compactflow.latents.ball:Ball"
    spec = LatentSpec(name="mine", target=target, aliases=("own",))
    registry.register(spec)
    assert registry.find("latent", "own").name == "mine"
    registry.register(spec, override=True)
    for taken in ("own", "cube"):
        other = LatentSpec(name="other", target=target, aliases=(taken,))
        with pytest.raises(registry.InvalidPluginError, match=f"alias '{taken}'.*is taken by"):
            registry.register(other, override=True)


def test_a_model_saved_under_an_old_name_loads(site, tmp_path):
    X = np.random.default_rng(0).normal(size=(20, 2))
    target = "compactflow.latents.ball:Ball"
    options = {"members": 1, "max_steps": 1, "backbone_options": {"blocks": 1, "width": 2}}
    with registry.isolated():
        registry.register(LatentSpec(name="old", target=target))
        detector = compactflow.build(latent="old", **options).fit(X)
        detector.save(tmp_path / "model")
    registry.register(LatentSpec(name="new", target=target, aliases=("old",)))
    loaded = compactflow.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.predict(X), detector.predict(X))
