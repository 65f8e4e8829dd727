"""The examples in docstrings run, and every public class of these rooms has one."""

import doctest
import importlib
import inspect
import pkgutil
import warnings

import pytest

import compactflow

# Rooms whose every public class shows how it is used.
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


def public_classes():
    for name in MODULES:
        if name.split(".")[1] in SHOWN:
            module = importlib.import_module(name)
            for found in (getattr(module, public) for public in getattr(module, "__all__", [])):
                if (
                    inspect.isclass(found)
                    and found.__module__ == name
                    and not issubclass(found, BaseException)
                ):
                    yield found


def test_every_public_class_has_an_example():
    without = [found.__qualname__ for found in public_classes() if ">>>" not in found.__doc__]
    assert not without
