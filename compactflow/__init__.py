"""compactflow: compact-latent flows for one-class learning and outlier detection.

The public names load on first use, so ``import compactflow`` is fast and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from compactflow._version import __version__

if TYPE_CHECKING:
    from compactflow.backbones.normflows_bridge import from_normflows
    from compactflow.backbones.zuko_bridge import from_zuko
    from compactflow.detector.building import build
    from compactflow.detector.estimator import OneClassFlow
    from compactflow.detector.loading import load
    from compactflow.encoding.windows import windows
    from compactflow.flows.flow import CompactFlow
    from compactflow.plugins.registry import available, register
    from compactflow.training.trainer import train

__all__ = [
    "CompactFlow",
    "OneClassFlow",
    "__version__",
    "available",
    "build",
    "from_normflows",
    "from_zuko",
    "load",
    "register",
    "train",
    "windows",
]

_HOME = {
    "CompactFlow": "compactflow.flows.flow",
    "OneClassFlow": "compactflow.detector.estimator",
    "available": "compactflow.plugins.registry",
    "build": "compactflow.detector.building",
    "from_normflows": "compactflow.backbones.normflows_bridge",
    "from_zuko": "compactflow.backbones.zuko_bridge",
    "load": "compactflow.detector.loading",
    "register": "compactflow.plugins.registry",
    "train": "compactflow.training.trainer",
    "windows": "compactflow.encoding.windows",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    try:
        module = importlib.import_module(_HOME[name])
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
