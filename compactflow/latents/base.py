"""The interface of a latent: a support K, a distribution on it and a signed distance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from compactflow.buffers import Resizable
from compactflow.latents import levels

__all__ = ["Latent", "sphere"]


class Latent(Resizable, ABC):
    """A compact support ``K = {z : c_m(z) ≤ 0 for all m}`` with a distribution on it.

    A subclass gives the constraints ``c_m``, each an (unsquared) distance in latent units, and
    inherits the signed distance s from them. The sets ``{z : s(z) ≤ t}``, the support grown or
    shrunk to a level t, decide where scores are compared with a level; their methods rest on s,
    and a subclass with closed forms overrides them.

    Args:
        dim: The dimension D, at least 1.

    Attributes:
        default_pull: Name of the convex pull that suits a push that compares with samples.
        confining_pull: Name of the pull whose ``exp(-pull)`` is, up to a constant, the latent's
            density (softened at the edge); it suits a push that maximises entropy.

    Raises:
        ValueError: If `dim` is smaller than 1.

    Examples:
        >>> from compactflow.latents.ball import Ball
        >>> ball = Ball(3)
        >>> z = 2 * torch.eye(3)
        >>> ball.signed_distance(z), ball.signed_distance(ball.project(z))
        (tensor([1., 1., 1.]), tensor([0., 0., 0.]))
    """

    default_pull: ClassVar[str] = "gauge"
    confining_pull: ClassVar[str] = "barrier"
    like: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim is the number of features and must be at least 1, got {dim}")
        self.dim = dim
        # Carries the device and dtype in which to draw samples.
        self.register_buffer("like", torch.zeros(()), persistent=False)

    @property
    def edge(self) -> float:
        """Width, in latent units, of the soft edge that the barrier gives the support.

        The latents of an entropic push settle at ``exp(-barrier)/Z``, and spill over the boundary
        by about the edge in each direction. A support that gets thinner with D, as a simplex
        does, needs a thinner edge, or hardly any latents lie inside.
        """
        return 0.4

    @property
    def share(self) -> float:
        """Of new inliers, the share that ``boundary="natural"`` is to keep in the support."""
        return 0.95

    def has_gauge(self) -> bool:
        """Whether the support is star-shaped around 0, so that a smaller scale moves rows in."""
        return levels.is_star(self, 0.0)

    def adapt(self, x: Tensor) -> Tensor | None:
        """Fit the support to preprocessed inliers ``(N, D)``, once, before training.

        Override it for a support whose shape or parts depend on the data; by default it does
        nothing. Register as buffers what it sets, so that a model file keeps it; their shapes may
        change. The pull is made and weighed afterwards.

        Returns:
            For each row the latent, ``(N, D)``, to which a first stage of training carries it,
            where the parts of the support would else gather the wrong rows; or ``None``.
        """
        return None

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points from the latent distribution, ``(n, D)``."""

    def sample_softened(
        self, n: int, slope: float, generator: torch.Generator | None = None
    ) -> Tensor | None:
        """Draw `n` points from ``exp(-Σ_m softplus(slope c_m(z)))/Z``, ``(n, D)``.

        Optional, for a latent that can do so exactly: here it gives ``None``.
        """
        return None

    @abstractmethod
    def constraints(self, z: Tensor) -> Tensor:
        """Values ``c_m(z)`` of latents ``(N, D)``: ``(N, M)``, all ≤ 0 just inside K."""

    def signed_distance(self, z: Tensor) -> Tensor:
        """Score of each row, ``(N,)``: negative inside K, positive outside, 0 on the boundary.

        ``Σ_m max(c_m, 0) + min(max_m c_m, 0)`` (Schmier et al. 2024, eq. 2-4, where
        ``c_k = |z_k| - 1``).
        """
        c = self.constraints(z)
        return c.clamp(min=0).sum(dim=1) + c.amax(dim=1).clamp(max=0)

    def gauge(self, z: Tensor) -> Tensor:
        """Minkowski functional of K at each row, ``(N,)``: at most 1 just inside K.

        Raises:
            NotImplementedError: If K is not star-shaped around 0 and so has no gauge.
        """
        raise NotImplementedError(f"{type(self).__name__} has no gauge; use its signed distance")

    @abstractmethod
    def project(self, z: Tensor) -> Tensor:
        """The point of K nearest to each row, ``(N, D)``."""

    @abstractmethod
    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the boundary of K, ``(n, D)``.

        In D = 2 they run along the closed curve, or along one closed curve after the other.
        """

    def level_gauge(self, z: Tensor, level: float) -> Tensor:
        """As `gauge` of the support grown, or shrunk, to a level, ``(N,)``.

        Raises:
            NotImplementedError: If K has no gauge.
            ValueError: If the level leaves nothing of K; likewise for the next three.
        """
        self.gauge(z[:0])
        return levels.gauge(self, z, level)

    def level_project(self, z: Tensor, level: float) -> Tensor:
        """As `project` onto the support grown, or shrunk, to a level, ``(N, D)``.

        A point on its boundary for each row outside. Unless a subclass finds the nearest, it is
        so only where the signed distance is Euclidean and the level not negative, and else near.
        """
        return levels.project(self, z, level)

    def level_boundary(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """As `boundary` of the support grown, or shrunk, to a level, ``(n, D)``."""
        return levels.boundary(self, n, level, generator)

    def level_sample(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` points uniformly from the support grown, or shrunk, to a level, ``(n, D)``."""
        return levels.sample(self, n, level, generator)

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of each row in nats, ``(N,)``."""

    def _normal(self, n: int, generator: torch.Generator | None) -> Tensor:
        like = self.like
        return torch.randn(n, self.dim, generator=generator, dtype=like.dtype, device=like.device)


def sphere(normal: Tensor) -> Tensor:
    """Points of the unit sphere ``(n, D)`` from standard normal draws ``(n, D)``.

    In D = 2 the draws are not used: the points then run once around the circle, evenly spaced.
    """
    n, dim = normal.shape
    if dim == 2:
        angle = torch.linspace(0, 2 * torch.pi, n + 1, dtype=normal.dtype, device=normal.device)
        return torch.stack([angle.cos(), angle.sin()], dim=1)[:-1]
    return normal / normal.norm(dim=1, keepdim=True).clamp_min(torch.finfo(normal.dtype).tiny)
