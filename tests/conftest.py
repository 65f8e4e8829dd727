"""Fixtures of all tests.

They import what they need themselves: the process that only hands out tests reads this file too,
and would import torch before the first of them begins.
"""

import copy
import gc
import importlib
from pathlib import Path

import pytest

# A network and a fit for tests of all that is around them.
TINY = {
    "backbone_options": {"blocks": 2, "width": 16},
    "members": 1,
    "max_steps": 3,
    "random_state": 0,
}
PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Idle workers take over tests; an option for that would stop all benchmarks."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """The garbage collector leaves out what modules hold, which is much and stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Begun last, the longest tests would leave all workers but one idle."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(autouse=True)
def _repeatable():
    import torch

    torch.set_num_threads(1)
    torch.default_generator.manual_seed(0)  # manual_seed() formats a traceback per kind of GPU


@pytest.fixture
def X():
    """Inliers in columns of different units."""
    import numpy as np

    return np.random.default_rng(0).normal(size=(300, 4)) * [1, 10, 0.1, 5] + 3


@pytest.fixture(scope="session")
def _trained():
    return {}


@pytest.fixture
def fitted(X, _trained):
    """Gives a detector of such options fitted to X, which trains but once for all tests."""
    import compactflow

    def fit(**options):
        chosen = TINY | options
        key = repr(sorted(chosen.items()))
        if key not in _trained:
            _trained[key] = compactflow.build(**chosen).fit(X)
        return copy.deepcopy(_trained[key])

    return fit


@pytest.fixture
def small_default(monkeypatch):
    """The default is of small networks: for tests of what is done with a fit."""
    from brief import shrink

    shrink(monkeypatch.setattr)


@pytest.fixture
def coarse(monkeypatch):
    """Pictures show little: see `brief.coarsen`."""
    from brief import coarsen

    coarsen(monkeypatch.setattr)


@pytest.fixture
def unrendered(monkeypatch, coarse):
    """Pictures are drawn and not rendered."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, file, **_: None)


@pytest.fixture
def first_party_plugins(monkeypatch):
    """Registers the plugins of this repository from their sources, installed or not."""
    import compactflow
    from compactflow.plugins import registry

    with registry.isolated():
        for folder in sorted(PLUGINS.iterdir()):
            monkeypatch.syspath_prepend(folder / "src")
            plugin = importlib.import_module(f"{folder.name.replace('-', '_')}.plugin")
            for spec in plugin.compactflow_components():
                compactflow.register(spec, override=True)
        yield
