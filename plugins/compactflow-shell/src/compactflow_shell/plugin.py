"""What compactflow reads when it looks for plugins. No torch."""

from __future__ import annotations

from compactflow.plugins import LatentSpec, hookimpl

__all__ = ["compactflow_latents"]


@hookimpl
def compactflow_latents() -> list[LatentSpec]:
    """Return the package's latent."""
    return [
        LatentSpec(
            name="shell",
            target="compactflow_shell.shell:Shell",
            summary="Concentric spherical shells, for rings",
            tags=("compact", "not-simply-connected"),
        )
    ]
