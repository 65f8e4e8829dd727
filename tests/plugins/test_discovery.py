import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sites import hook, latents, rows

from compactflow.plugins import registry


def test_a_plugin_is_found_loaded_and_listed(site):
    module = site.install("Flow.Torus", latents("torus"), version="2.3")
    row = registry.find("latent", "torus")
    assert (row.distribution, row.version, row.status) == ("Flow.Torus", "2.3", "plugin")
    assert registry.load("latent", "torus") is sys.modules[module].Part
    assert row in registry.available("latent")
    assert row not in registry.available("pull")
    assert row in registry.available()


@pytest.mark.parametrize("distribution", ["Flow.Torus", "flow-torus", "FLOW__torus"])
def test_a_qualified_name_compares_distributions_normalised(site, distribution):
    site.install("Flow.Torus", latents("torus"))
    assert registry.find("latent", f"{distribution}:torus").name == "torus"


@pytest.mark.parametrize("name", [":cube", ":torus", "cube:torus", "other:torus", "torus:", ""])
def test_a_qualified_name_needs_its_own_distribution(site, name):
    site.install("torus", latents("torus"))
    with pytest.raises(registry.UnknownComponentError):
        registry.find("latent", name)


def test_a_plugin_may_yield_its_specs_and_serve_several_kinds(site):
    pull = "\n@hookimpl\ndef compactflow_pulls():\n    yield PullSpec(name='a', target='m:A')\n"
    site.install("torus", hook("yield spec('a')\nyield spec('b')") + pull)
    found = {(row.kind, row.name) for row in rows("torus")}
    assert found == {("latent", "a"), ("latent", "b"), ("pull", "a")}


def test_each_plugin_is_asked_once_also_when_threads_race(site, monkeypatch):
    module = site.install("torus", latents("torus"))
    workers = 8
    start = threading.Barrier(workers)

    def look(_):
        start.wait()
        return registry.find("latent", "torus")

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(look, range(workers)))
    finally:
        sys.setswitchinterval(switch)
    registry.available()
    assert found == [found[0]] * workers
    assert sys.modules[module].calls == [1]


@pytest.mark.parametrize("name", ["\x1b[2J", "other-name", "o d d"])
def test_metadata_that_name_another_folder_work(site, name):
    site.install("torus", latents("torus"))
    (site.path / "torus-1.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: \x1b\n")
    row = registry.find("latent", "torus")
    assert row.distribution.isprintable()
    assert row.version.isprintable()


def test_strict_mode_leaves_a_working_plugin_alone(site, monkeypatch):
    monkeypatch.setenv("COMPACTFLOW_STRICT_PLUGINS", "1")
    site.install("torus", latents("torus"))
    assert registry.find("latent", "torus").status == "plugin"


@pytest.mark.parametrize("setting", ["*", "flow-broken", "other, FLOW_Broken"])
def test_a_disabled_plugin_is_not_imported(site, monkeypatch, setting):
    module = site.install("Flow.Broken", "raise RuntimeError('boom')")
    monkeypatch.setenv("COMPACTFLOW_DISABLE_PLUGINS", setting)
    assert [row.status for row in rows("Flow.Broken")] == ["disabled"]
    assert module not in sys.modules
    with pytest.raises(registry.UnknownComponentError, match=r"Flow\.Broken 1\.0 is disabled"):
        registry.find("latent", "torus")


def test_disabling_one_plugin_leaves_the_others(site, monkeypatch):
    site.install("broken", "raise RuntimeError('boom')")
    site.install("torus", latents("torus"))
    monkeypatch.setenv("COMPACTFLOW_DISABLE_PLUGINS", "broken")
    assert registry.find("latent", "torus").status == "plugin"
