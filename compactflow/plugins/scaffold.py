"""Writing a new plugin package that installs and passes its own tests. No torch."""

from __future__ import annotations

import re
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

from compactflow._version import __version__
from compactflow.plugins import Kind
from compactflow.plugins.builtin import BUILTINS

__all__ = ["KINDS", "new_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SUMMARIES: dict[Kind, str] = {
    "backbone": "Reflections and smooth bends, with an analytic inverse and log-det",
    "latent": "Uniform on the cross-polytope, where magnitudes sum to at most 1",
    "pull": "A smooth maximum of the magnitudes",
    "preprocessing": "Columns in their own unit, far values drawn in as a root",
    "push": "The maximum-entropy force by Stein's identity, with antithetic noise",
    "score": "The distance from the mean latent, in units of the latents' own spread",
    "engine": "Tasks in threads, one for each core of this machine",
}

KINDS: tuple[Kind, ...] = tuple(_SUMMARIES)
"""The kinds that there is an example of."""


def new_plugin(name: str, kind: Kind, folder: Path) -> list[Path]:
    """Write the package ``compactflow-NAME`` with a working example component and its tests.

    Args:
        name: The component's name: lower-case words joined by ``-``. The package's is understood
            too.
        kind: The component's kind.
        folder: Where the package's own folder is made; it must exist.

    Returns:
        The files written.

    Raises:
        ValueError: If the name is malformed or built in, or there is no such kind.
        FileNotFoundError: If `folder` does not exist.
        FileExistsError: If the package's folder exists and is not empty.
    """
    name = name.removeprefix("compactflow-")
    _check(name, kind)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; create it, or give another")
    target = folder / f"compactflow-{name}"
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise FileExistsError(f"{target} exists and is not empty; give another name or folder")
    files = _files(name, kind)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        draft = Path(temporary) / target.name
        for path, text in files.items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_text(text, encoding="utf-8")
        if target.exists():
            target.rmdir()  # empty, and in the way of a rename on some systems
        draft.rename(target)
    return [target / path for path in files]


def _check(name: str, kind: Kind) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name must be lower-case words joined by '-', such as 'my-{kind}', got {name!r}"
        )
    if name == "compactflow":
        raise ValueError("the package would be compactflow-compactflow; name the component")
    if (kind, name) in {
        (spec.kind, own) for spec in BUILTINS for own in (spec.name, *spec.aliases)
    }:
        raise ValueError(f"the {kind} name {name!r} is built in; choose another")


def _files(name: str, kind: Kind) -> dict[str, str]:
    """The text of each file of the package by its path in it."""
    package = f"compactflow_{name.replace('-', '_')}"
    base = kind.capitalize()
    words = [word for word in name.split("-") if word != kind] or [kind]
    major, minor = __version__.split(".")[:2]
    values = {
        "name": name,
        "kind": kind,
        "package": package,
        "base": base,
        "cls": "".join(word.capitalize() for word in (*words, kind)),
        "requirement": f"compactflow>={major}.{minor},<{int(major) + 1}",
        "summary": _SUMMARIES[kind],
    }
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"src/{package}/__init__.py": "init.py",
        f"src/{package}/plugin.py": "plugin.py",
        f"src/{package}/{kind}.py": f"{kind}.py",
        f"tests/test_{kind}.py": "test.py",
    }
    source = resources.files("compactflow.plugins") / "templates"
    return {
        path: Template((source / f"{template}.tmpl").read_text("utf-8")).substitute(values)
        for path, template in templates.items()
    }
