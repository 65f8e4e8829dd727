"""What compactflow reads when it looks for plugins. No torch."""

from __future__ import annotations

from compactflow.plugins import LatentSpec, hookimpl

__all__ = ["compactflow_components"]


@hookimpl
def compactflow_components() -> list[LatentSpec]:
    """Return the package's latent."""
    return [
        LatentSpec(
            name="shell",
            target="compactflow_shell.shell:Shell",
            summary="Concentric spherical shells, for rings",
            api=1,
            tags=("compact", "not-simply-connected"),
        )
    ]
