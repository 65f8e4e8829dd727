import importlib
from pathlib import Path

import pytest
import torch

import compactflow
from compactflow.plugins import registry

PLUGINS = Path(__file__).parents[1] / "plugins"


@pytest.fixture(autouse=True)
def _repeatable():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def first_party_plugins(monkeypatch):
    """Registers the plugins of this repository from their sources, installed or not."""
    with registry.isolated():
        for folder in sorted(PLUGINS.iterdir()):
            monkeypatch.syspath_prepend(folder / "src")
            plugin = importlib.import_module(f"{folder.name.replace('-', '_')}.plugin")
            for spec in plugin.compactflow_components():
                compactflow.register(spec, override=True)
        yield
