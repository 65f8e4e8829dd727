"""What compactflow reads when it looks for plugins. No Dask."""

from __future__ import annotations

from compactflow.plugins import EngineSpec, hookimpl

__all__ = ["compactflow_components"]


@hookimpl
def compactflow_components() -> list[EngineSpec]:
    """Return the package's engine."""
    return [
        EngineSpec(
            name="dask",
            target="compactflow_dask.engine:Dask",
            summary="Tasks of Dask",
        )
    ]
