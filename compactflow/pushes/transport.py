"""Latents regressed onto samples of the support to which optimal transport assigns them."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["Transport"]

Matching = Literal["auto", "exact", "sinkhorn", "sliced"]

_FEW = 16  # dimensions up to which an exact assignment finds near samples
_ITERATIONS = 50  # of Sinkhorn
_BLUR = 0.05  # ε of Sinkhorn, as a share of the mean cost


@final
class Transport(Push):
    """Creates the push ``W(a, z̃) + W(b, z̃') - W(a, b)`` of the halves a, b of a batch's latents.

    W is the mean squared distance of points that are assigned to each other, z̃ and z̃' are fresh
    samples of the latent. The assignment counts as given for the gradient, so each latent is drawn
    straight to a sample: there is no determinant, no inverse, and any support will do. The last
    term is what the first two give of samples that follow the latent's law already; without it
    latents would gather short of the boundary, as few points lie nearer to each other than many.
    The pull has no part in it.

    Args:
        matching: ``"exact"`` is the best assignment, in time O(N³); ``"sinkhorn"`` a soft one;
            ``"sliced"`` the best one along each of some random directions, for many dimensions;
            ``"auto"`` is exact up to 16 of them, and then sliced.
        directions: How many of them, at least 1.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Salimans, Zhang, Radford, Metaxas (2018), *Improving GANs using optimal transport* (the
        energy distance of minibatches); Cuturi (2013), *Sinkhorn distances*; Bonneel, Rabin,
        Peyré, Pfister (2015), *Sliced and Radon Wasserstein barycenters of measures*.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> backbone, pull = Coupling(3), Barrier(Cube(3))
        >>> z, loss = Transport()(backbone, pull, torch.randn(8, 3))
        >>> z.shape, loss.shape
        (torch.Size([8, 3]), torch.Size([]))
    """

    entropic: ClassVar[bool] = False
    pulled: ClassVar[bool] = False

    def __init__(self, *, matching: Matching = "auto", directions: int = 64) -> None:
        super().__init__()
        if matching not in ("auto", "exact", "sinkhorn", "sliced"):
            raise ValueError(
                f"matching must be 'auto', 'exact', 'sinkhorn' or 'sliced', got {matching!r}"
            )
        if directions < 1:
            raise ValueError(f"directions must be at least 1, got {directions}")
        self.matching = matching
        self.directions = directions

    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Push.forward`; it takes two rows or more."""
        z = backbone(x)
        a, b = z[: len(z) // 2], z[len(z) // 2 : len(z) // 2 * 2]
        samples = pull.latent.sample(2 * len(a), generator).to(z).chunk(2)
        pairs = ((a, samples[0]), (b, samples[1]), (a, b))
        one, other, among = (self._cost(p, q, generator) for p, q in pairs)
        return z, one + other - among

    def _cost(self, a: Tensor, b: Tensor, generator: torch.Generator | None) -> Tensor:
        """W of two sets of points ``(N, D)``."""
        matching = self.matching
        if matching == "auto":
            matching = "exact" if a.shape[1] <= _FEW else "sliced"
        if matching == "sliced":
            shape = (a.shape[1], self.directions)
            drawn = torch.randn(shape, generator=generator, dtype=a.dtype, device=a.device)
            unit = drawn / drawn.norm(dim=0)
            along = (a @ unit).sort(dim=0).values - (b @ unit).sort(dim=0).values
            return along.square().mean() * a.shape[1]
        if matching == "exact":
            with torch.no_grad():
                _, partner = linear_sum_assignment(torch.cdist(a, b).square().cpu().numpy())
            return (a - b[torch.from_numpy(partner).to(a.device)]).square().sum(dim=1).mean()
        cost = (a[:, None] - b).square().sum(dim=2)
        return (_plan(cost.detach()) * cost).sum()


def _plan(cost: Tensor) -> Tensor:
    """The soft assignment of N points to N others, ``(N, N)``, of rows and columns ``1/N``."""
    n = len(cost)
    energy = -cost / (_BLUR * cost.mean())
    rows = columns = energy.new_zeros(n)
    for _ in range(_ITERATIONS):
        rows = -(energy + columns).logsumexp(dim=1)
        columns = -(energy + rows[:, None]).logsumexp(dim=0)
    return (energy + rows[:, None] + columns).exp() / n
