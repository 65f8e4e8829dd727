import pytest


@pytest.fixture(autouse=True)
def _small(small_default):
    """How large a network is makes no difference here."""
