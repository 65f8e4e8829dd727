"""Importing compactflow and listing its components stay light."""

import subprocess
import sys

import pytest

import compactflow

HEAVY = (
    *("torch", "torch._dynamo", "numpy", "scipy", "sklearn", "sklearn.covariance"),
    *("matplotlib", "zuko", "normflows"),
)


def heavy_modules_after(code):
    """The heavy modules that a fresh interpreter has loaded after running the code."""
    report = f"import sys; print(*(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import compactflow",
        "import compactflow; dir(compactflow)",
        "import compactflow.plugins",
        "import compactflow.plugins.registry",
        "import compactflow; compactflow.available()",
        "import compactflow.plugins.registry as r; r.find('latent', 'cube')",
        "import compactflow.plugins as p, compactflow.plugins.registry as r\n"
        "r.register(p.LatentSpec(name='mine', target='compactflow.latents.cube:Cube'))\n"
        "assert r.find('latent', 'mine').status == 'registered'",
    ],
)
def test_light_work_imports_nothing_heavy(code):
    assert heavy_modules_after(code) == []


@pytest.mark.slow
def test_a_fit_and_the_kit_import_what_they_always_need_and_neither_pytest_nor_a_compiler():
    loaded = heavy_modules_after(
        "import sys; sys.modules['pytest'] = None; import compactflow\n"
        "detector = compactflow.build('coupling', 'cube', max_steps=2)\n"
        f"import compactflow.testing; early = set(sys.modules) & set({HEAVY!r})\n"
        "assert early == {'torch', 'numpy', 'scipy', 'sklearn'}, early\n"
        "detector.fit([[row % 7, row % 5] for row in range(60)])"
    )
    assert set(loaded) == {"torch", "numpy", "scipy", "sklearn", "sklearn.covariance"}


@pytest.mark.parametrize("name", compactflow.__all__)
def test_every_public_name_is_there(name):
    assert getattr(compactflow, name) is not None
    assert name in dir(compactflow)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'compactflow' has no attribute 'no_such_name'"):
        _ = compactflow.no_such_name
