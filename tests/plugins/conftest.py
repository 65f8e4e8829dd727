import sys

import pytest
from sites import Site

from compactflow.plugins import registry


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
