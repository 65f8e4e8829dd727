"""A new package has what its author needs; `test_plugins` installs one of each kind."""

import pytest
from packaging.requirements import Requirement

from compactflow.plugins import scaffold
from compactflow.plugins.scaffold import KINDS, new_plugin


def test_the_files_written_are_returned(tmp_path):
    files = new_plugin("diamond", "latent", tmp_path)
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) == written
    assert {path.relative_to(tmp_path).as_posix() for path in files} == {
        "compactflow-diamond/pyproject.toml",
        "compactflow-diamond/README.md",
        "compactflow-diamond/src/compactflow_diamond/__init__.py",
        "compactflow-diamond/src/compactflow_diamond/plugin.py",
        "compactflow-diamond/src/compactflow_diamond/latent.py",
        "compactflow-diamond/tests/test_latent.py",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_fill_in(kind, tmp_path):
    for path in new_plugin("a1-b", kind, tmp_path):
        text = path.read_text(encoding="utf-8")
        assert "$" not in text
        if path.suffix == ".py":
            compile(text, path, "exec")


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "compactflow-diamond").mkdir()
    assert new_plugin("diamond", "latent", tmp_path)[0].is_file()


@pytest.mark.parametrize(
    "name", ["", "Diamond", "two words", "-a", "a-", "a--b", "3d", "ä", "../a"]
)
def test_bad_names_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="lower-case words"):
        new_plugin(name, "latent", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="kind must be one of"):
        new_plugin("diamond", "prior", tmp_path)
    with pytest.raises(ValueError, match="'cube' is built in"):
        new_plugin("cube", "latent", tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        new_plugin("diamond", "latent", tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_an_existing_package_is_kept(tmp_path):
    new_plugin("diamond", "latent", tmp_path)
    mine = tmp_path / "compactflow-diamond" / "README.md"
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="not empty"):
        new_plugin("diamond", "push", tmp_path)
    assert mine.read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["compactflow-diamond"]


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(OSError, match="disk full"):
        new_plugin("diamond", "latent", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "name", "cls"),
    [
        ("compactflow-diamond", "diamond", "DiamondLatent"),
        ("diamond-latent", "diamond-latent", "DiamondLatent"),
        ("latent-diamond", "latent-diamond", "DiamondLatent"),
        ("latent", "latent", "LatentLatent"),
    ],
)
def test_names_do_not_stutter(given, name, cls, tmp_path):
    text = {
        path.relative_to(tmp_path / f"compactflow-{name}").as_posix(): path.read_text("utf-8")
        for path in new_plugin(given, "latent", tmp_path)
    }
    module = f"compactflow_{name.replace('-', '_')}"
    assert f'name = "compactflow-{name}"\n' in text["pyproject.toml"]
    assert f'name="{name}",' in text[f"src/{module}/plugin.py"]
    assert f'target="{module}.latent:{cls}",' in text[f"src/{module}/plugin.py"]
    assert f"class {cls}(Latent):" in text[f"src/{module}/latent.py"]


def test_a_package_of_compactflow_itself_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name the component"):
        new_plugin("compactflow", "latent", tmp_path)


@pytest.mark.parametrize(
    ("version", "inside", "outside"),
    [("0.1.0", "0.9.2", "1.0.0"), ("1.2.3", "1.7.0", "2.0.0"), ("1.2.3", "1.2.0", "1.1.9")],
)
def test_the_requirement_has_bounds(version, inside, outside, tmp_path, monkeypatch):
    monkeypatch.setattr(scaffold, "__version__", version)
    text = new_plugin("diamond", "latent", tmp_path)[0].read_text("utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("dependencies"))
    requirement = Requirement(line.partition('"')[2].partition('"')[0])
    assert requirement.specifier.contains(inside)
    assert not requirement.specifier.contains(outside)
