"""The examples in docstrings run, and every public class has one."""

import doctest
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import compactflow

ROOT = Path(__file__).parents[1]
# Rooms whose every public class shows how it is used, whether it is in the reference or not.
SHOWN = ("adapters", "detector", "flows", "latents", "persistence", "pulls", "pushes", "report")

MODULES = [
    module.name
    for module in pkgutil.walk_packages(compactflow.__path__, "compactflow.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert doctest.testmod(module).failed == 0


def shown_in_the_reference():
    """The classes of the pages in docs/api: each by its path, or all public ones of a module."""
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        for path in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            found = pkgutil.resolve_name(path)
            if inspect.ismodule(found):
                yield from (getattr(found, name) for name in found.__all__)
            else:
                yield found


def public_in_these_rooms():
    for name in MODULES:
        if name.split(".")[1] in SHOWN:
            module = importlib.import_module(name)
            yield from (getattr(module, public) for public in getattr(module, "__all__", []))


def test_every_public_class_has_an_example():
    classes = set(filter(inspect.isclass, (*public_in_these_rooms(), *shown_in_the_reference())))
    own = {each for each in classes if each.__module__.startswith("compactflow.")}
    assert len(own) > 80
    shown = {each for each in own if not issubclass(each, BaseException)}
    assert not {each.__qualname__ for each in shown if ">>>" not in each.__doc__}
