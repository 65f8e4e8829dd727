import re

import pytest
from sites import Site, hook, latents, rows

from compactflow.latents.base import Latent
from compactflow.plugins import PluginLoadWarning, registry
from compactflow.text import cause_of

BROKEN = {
    "raises on import": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "cannot be imported": (None, "ModuleNotFoundError: .*broken"),
    "exits on import": ("raise SystemExit('boom')", "SystemExit: boom"),
    "raises in a hook": (hook("raise RuntimeError('boom')"), "RuntimeError: boom"),
    "raises midway": (
        hook("yield spec('torus')\nraise RuntimeError('boom')"),
        "RuntimeError: boom",
    ),
    "misspells a hook": (
        hook("return [spec('torus')]", "compactflow_latnets"),
        "unknown hook 'compactflow_latnets'",
    ),
    "claims a built-in name": (hook("return [spec('cube')]"), "'cube' is built in"),
    "gives a name twice": (hook("return [spec('torus')] * 2"), "'torus' is given twice"),
    "gives another kind": (
        hook("return [PullSpec(name='torus', target='m:A')]", "compactflow_latents"),
        "expected a LatentSpec, got PullSpec",
    ),
    "gives no spec": (
        hook("return ['torus']", "compactflow_latents"),
        "expected a LatentSpec, got 'torus'",
    ),
    "gives no spec to the hook for all": (
        hook("return ['torus']"),
        "expected a ComponentSpec, got 'torus'",
    ),
    "gives no iterable": (hook("return spec('torus')"), "not iterable"),
    "gives nothing": ("torus = 1", "gives no components"),
    "gives a bad name": (hook("return [spec('My Torus')]"), "lower-case words .*'My Torus'"),
    "gives a bad target": (
        hook("return [LatentSpec(name='torus', target='m.Torus')]"),
        "'package.module:Class', got 'm.Torus'",
    ),
}


class_of = "class Odd(BaseException):\n    def __str__(self):\n        {}\n\nraise Odd()"


BROKEN |= {
    "raises what is no Exception": ("raise BaseException('boom')", "BaseException: boom"),
    "ends a generator": ("raise GeneratorExit('boom')", "GeneratorExit: boom"),
    "exits with 0": ("import sys\nsys.exit(0)", "SystemExit: 0"),
    "raises what cannot say why": (class_of.format("raise SystemExit"), "Odd: it cannot say"),
    "raises what says no text": (class_of.format("return 5"), "Odd: it cannot say"),
    "raises an escape": (r"raise RuntimeError('\x1b[2Jboom')", r"RuntimeError: \\x1b\[2Jboom"),
    "raises a surrogate": (r"raise RuntimeError('\ud800boom')", r"RuntimeError: \\ud800boom"),
    "raises lines": (r"raise RuntimeError('big\n  boom')", "RuntimeError: big boom"),
    "gives what has no repr": (
        "class Odd:\n    def __repr__(self):\n        raise RuntimeError('boom')\n"
        + hook("return [Odd()]"),
        "RuntimeError: boom",
    ),
    "gives a bad alias": (
        hook("return [LatentSpec(name='torus', target='m:A', aliases=('My Torus',))]"),
        "lower-case words .*'My Torus'",
    ),
    "gives an alias for aliases": (
        hook("return [LatentSpec(name='torus', target='m:A', aliases='ring')]"),
        "aliases of 'torus' must be a tuple",
    ),
    "claims a built-in name as alias": (
        hook("return [LatentSpec(name='torus', target='m:A', aliases=('cube',))]"),
        "'cube' is built in",
    ),
    "gives its name as an alias": (
        hook("return [LatentSpec(name='torus', target='m:A', aliases=('torus',))]"),
        "'torus' is given twice",
    ),
    "gives no text for a summary": (
        hook("return [LatentSpec(name='torus', target='m:A', summary=None)]"),
        "summary of 'torus' must be a string",
    ),
    "is written for a later interface": (
        hook("return [LatentSpec(name='torus', target='m:A', api=2)]"),
        "version 2 of the plugin interface.*has version 1; upgrade compactflow",
    ),
    "is written for no interface": (
        hook("return [LatentSpec(name='torus', target='m:A', api='1')]"),
        "api of 'torus' must be 1 or more",
    ),
    "gives a spec of its own class": (
        "import dataclasses\nfrom compactflow.plugins import ComponentSpec\n"
        "class OwnSpec(ComponentSpec):\n    kind = 'latent'\n"
        + hook("return [OwnSpec(name='torus', target='m:A')]"),
        "expected a ComponentSpec, got OwnSpec",
    ),
    "asks for plugins while it is asked": (
        hook("from compactflow.plugins import registry\nregistry.find('latent', 'torus')"),
        "there is no latent 'torus'",
    ),
}


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_left_out_with_one_warning_and_the_rest_works(site, source, cause):
    site.install("a-good", latents("lens"))
    site.install("broken", source, version="0.7")
    site.install("z-good", latents("helix"))
    with pytest.warns(PluginLoadWarning, match=rf"'parts' of broken 0\.7 .*{cause}") as caught:
        registry.find("latent", "lens")
    assert len(caught) == 1
    assert registry.find("latent", "helix").distribution == "z-good"
    assert issubclass(registry.load("latent", "cube"), Latent)
    (row,) = rows("broken")
    assert (row.name, row.version, row.status, row.spec) == ("parts", "0.7", "failed", None)
    with pytest.raises(registry.UnknownComponentError, match=rf"broken 0\.7 failed: .*{cause}"):
        registry.find("latent", "torus")


def test_a_distribution_gives_a_name_once_over_all_its_entry_points(site):
    module = site.install("torus", latents("torus"))
    (site.path / "torus-1.0.dist-info" / "entry_points.txt").write_text(
        f"[compactflow]\na = {module}\nb = {module}\n"
    )
    with pytest.warns(PluginLoadWarning, match="'b' of torus .*'torus' is given twice"):
        row = registry.find("latent", "torus")
    assert registry.find("latent", "torus:torus") == row


def test_a_distribution_without_metadata_leaves_the_rest_working(site):
    site.install("torus", latents("torus"))
    site.install("nameless", "raise RuntimeError('boom')")
    (site.path / "nameless-1.0.dist-info" / "METADATA").unlink()
    with pytest.warns(PluginLoadWarning, match="'parts' of unknown"):
        assert registry.find("latent", "torus").status == "plugin"


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_strict_mode_raises_the_cause(site, monkeypatch, source, cause):
    monkeypatch.setenv("COMPACTFLOW_STRICT_PLUGINS", "1")
    site.install("broken", source)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        registry.available()
    assert re.search(cause, cause_of(caught.value))


def test_an_interrupt_is_none_of_a_plugin(site):
    site.install("broken", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.available()


LINES = {
    "no value": ("parts", "'parts' of odd 1.0.*its entry point reads 'parts'"),
    "no name": ("= odd", "'= odd' of odd 1.0.*its entry point reads '= odd'"),
    "no module": ("parts = o d d", "must read 'name = package.module'"),
    "an escape": ("parts = \x1b[2J", r"reads 'parts = \\\\?x1b"),
}


@pytest.mark.parametrize(("line", "said"), LINES.values(), ids=LINES)
def test_a_malformed_entry_point_is_named_and_the_others_work(site, line, said):
    module = site.install("odd", latents("torus"))
    site.install("good", latents("lens"))
    (site.path / "odd-1.0.dist-info" / "entry_points.txt").write_text(
        f"no group\n[other]\nnonsense\n[compactflow]\n{line}\n# a comment\nfine = {module}\n"
    )
    with pytest.warns(PluginLoadWarning, match=said) as caught:
        assert registry.find("latent", "torus").distribution == "odd"
    assert str(caught[0].message).isprintable()
    assert registry.find("latent", "lens").distribution == "good"


def test_files_that_are_no_utf8_stop_nothing(site):
    site.install("latin", latents("torus"))
    site.install("unreadable", latents("helix"))
    site.install("other", None)
    site.install("good", latents("lens"))
    (site.path / "latin-1.0.dist-info" / "METADATA").write_bytes(
        "Metadata-Version: 2.1\nName: latin\nVersion: 1.0\nAuthor: Köthe\n".encode("latin-1")
    )
    (site.path / "unreadable-1.0.dist-info" / "entry_points.txt").write_bytes(
        "[compactflow]\nköthe = unreadable\n".encode("latin-1")
    )
    (site.path / "other-1.0.dist-info" / "entry_points.txt").write_bytes(b"[console]\n\xff\xfe\n")
    assert registry.find("latent", "torus").distribution == "latin"
    assert registry.find("latent", "torus").version == "1.0"
    assert registry.find("latent", "helix").distribution == "unreadable"
    assert registry.find("latent", "lens").distribution == "good"


def test_the_first_distribution_on_the_path_hides_others_of_its_name(site, monkeypatch, tmp_path):
    site.install("torus", latents("torus"), version="1.0")
    (tmp_path / "first").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "first")
    first = Site(tmp_path / "first")
    first.install("torus", latents("helix"), version="2.0")
    assert [row.name for row in rows("torus")] == ["helix"]


def test_what_a_plugin_prints_goes_to_stderr(site, capsys):
    site.install("chatty", "print('hello')\n" + hook("print('again')\nreturn [spec('torus')]"))
    registry.load("latent", "torus")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\nagain\n")


@pytest.mark.parametrize("body", ["import sys\nsys.exit(0)", "raise BaseException('boom')"])
def test_a_module_that_ends_the_process_is_named(site, body):
    site.install("torus", hook("return [LatentSpec(name='torus', target='ending:Part')]"))
    (site.path / "ending.py").write_text(body)
    with pytest.raises(registry.ComponentLoadError, match=r"'torus' of torus 1\.0 cannot be"):
        registry.load("latent", "torus")
