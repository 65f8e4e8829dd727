"""What compactflow reads when it looks for plugins. No torch."""

from __future__ import annotations

from compactflow.plugins import LatentSpec, hookimpl

__all__ = ["compactflow_components"]


@hookimpl
def compactflow_components() -> list[LatentSpec]:
    """Return the package's latent."""
    return [
        LatentSpec(
            name="union",
            target="compactflow_union.union:Union",
            summary="A union of disjoint cubes or balls, one for each cluster of the data",
            api=1,
            tags=("compact", "not-simply-connected"),
        )
    ]
