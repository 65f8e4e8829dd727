"""Plugins are installed as fake distributions: a `.dist-info` folder and a module on sys.path."""

import importlib
from textwrap import dedent, indent

from compactflow.plugins import registry


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


def rows(distribution, kind=None):
    return [row for row in registry.available(kind) if row.distribution == distribution]
