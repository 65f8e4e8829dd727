"""Plugins are installed as fake distributions: a `.dist-info` folder and a module on sys.path."""

import dataclasses
import importlib
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent, indent
from types import FunctionType
from typing import get_args

import numpy as np
import pytest

import compactflow
from compactflow.backbones.base import Backbone
from compactflow.engines.base import Engine
from compactflow.flows.scores import Score
from compactflow.latents.base import Latent
from compactflow.plugins import (
    BackboneSpec,
    ComponentSpec,
    Kind,
    LatentSpec,
    PluginLoadWarning,
    PullSpec,
    registry,
)
from compactflow.plugins.builtin import BUILTINS
from compactflow.preprocessing.base import Preprocessing
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.text import cause_of

BASES = {
    "backbone": Backbone,
    "latent": Latent,
    "pull": Pull,
    "push": Push,
    "preprocessing": Preprocessing,
    "score": Score,
    "engine": Engine,
}


def hook(body, name="compactflow_components"):
    """A plugin module with one hook of that body; `spec(name)` makes a latent's spec."""
    head = """\
        from compactflow.plugins import LatentSpec, PullSpec, hookimpl

        calls = []

        class Part:
            pass

        def spec(name):
            return LatentSpec(name=name, target=f"{__name__}:Part", summary="One part")
    """
    return f"{dedent(head)}\n@hookimpl\ndef {name}():\n{indent(dedent(body), '    ')}\n"


def latents(*names):
    return hook(f"calls.append(1)\nreturn [spec(name) for name in {names!r}]")


class Site:
    """A folder on sys.path into which fake distributions are installed."""

    def __init__(self, path):
        self.path = path
        self.modules = []

    def install(self, distribution, source, *, version="1.0", entry_point="parts"):
        """Install a plugin module of that source, or only an entry point if it is None."""
        module = distribution.replace("-", "_").replace(".", "_").lower()
        self.modules.append(module)
        info = self.path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[compactflow]\n{entry_point} = {module}\n")
        if source is not None:
            (self.path / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return module


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.delenv("COMPACTFLOW_STRICT_PLUGINS", raising=False)
    monkeypatch.delenv("COMPACTFLOW_DISABLE_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    made = Site(tmp_path)
    with registry.isolated():
        yield made
    for module in made.modules:
        sys.modules.pop(module, None)


def rows(distribution, kind=None):
    return [row for row in registry.available(kind) if row.distribution == distribution]


# Built-in components


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


# Plugins that work


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


# Plugins that clash


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


# Plugins that are broken

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


# Kinds, aliases and the older hooks


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


@pytest.mark.parametrize("name", ["\x1b[2J", "other-name", "o d d"])
def test_metadata_that_name_another_folder_work(site, name):
    site.install("torus", latents("torus"))
    (site.path / "torus-1.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: \x1b\n")
    row = registry.find("latent", "torus")
    assert row.distribution.isprintable()
    assert row.version.isprintable()


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


def test_a_class_has_the_name_it_is_found_under():
    assert registry.name_of("latent", registry.load("latent", "ball")) == "ball"
    assert registry.name_of("backbone", registry.load("backbone", "zuko:NSF")) == "zuko:NSF"
    assert registry.name_of("latent", object) is None


def test_names_with_a_colon_work_with_their_distribution_too():
    assert registry.find("backbone", "compactflow:zuko:NSF").name == "zuko:NSF"
