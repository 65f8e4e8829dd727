"""compactflow: compact-latent flows for one-class learning and outlier detection.

The public names load on first use, so ``import compactflow`` is fast and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compactflow.backbones.normflows import from_normflows
    from compactflow.backbones.zuko import from_zuko
    from compactflow.building import build
    from compactflow.estimator import OneClassFlow
    from compactflow.flow import CompactFlow
    from compactflow.loading import load
    from compactflow.registry import available, register

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
]

__version__ = "0.1.0"

_HOME = {
    "CompactFlow": "compactflow.flow",
    "OneClassFlow": "compactflow.estimator",
    "available": "compactflow.registry",
    "build": "compactflow.building",
    "from_normflows": "compactflow.backbones.normflows",
    "from_zuko": "compactflow.backbones.zuko",
    "load": "compactflow.loading",
    "register": "compactflow.registry",
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
