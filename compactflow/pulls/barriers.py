"""A soft wall at the boundary of the support."""

from __future__ import annotations

from math import inf
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from compactflow.latents.base import Latent
from compactflow.pulls.base import Pull

__all__ = ["Barrier"]


@final
class Barrier(Pull):
    """Creates the pull ``Σ_m softplus(β c_m(z))`` over the latent's constraints ``c_m``.

    Flat inside K and rising with slope β outside, so ``exp(-pull)/Z`` is uniform on K with an edge
    of width ``1/β``. Convex wherever the constraints are.

    Args:
        latent: The latent whose constraints it softens.
        sharpness: β, per latent unit, positive; by default one over the latent's edge. A soft
            edge leaves a gradient everywhere, which orders points inside and near the boundary; a
            sharp one draws a tight contour.

    Raises:
        ValueError: If `sharpness` is not positive.

    Examples:
        >>> import torch
        >>> from compactflow.latents.cube import Cube
        >>> pull = Barrier(Cube(2), sharpness=10.0)
        >>> pull(torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
        tensor([9.0798e-05, 2.0000e+01])
    """

    def __init__(self, latent: Latent, *, sharpness: float | None = None) -> None:
        super().__init__(latent)
        if sharpness is not None and not sharpness > 0:
            raise ValueError(f"sharpness must be positive, got {sharpness}")
        self.sharpness = sharpness

    def forward(self, z: Tensor) -> Tensor:
        """Value at each row of ``(N, D)``, ``(N,)``."""
        return softplus(self._slope * self.latent.constraints(z)).sum(dim=1)

    def settle(
        self, n: int, generator: torch.Generator | None = None, *, level: float = inf
    ) -> Tensor:
        """As `Pull.settle`; exactly, without a level, where the latent knows how."""
        drawn = None
        if self.weight == 1 and level == inf:
            drawn = self.latent.sample_softened(n, self._slope, generator)
        return super().settle(n, generator, level=level) if drawn is None else drawn

    @property
    def _slope(self) -> float:
        return 1 / self.latent.edge if self.sharpness is None else self.sharpness
