"""The checks of a latent's distribution: its samples, and the density that they should follow."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor

from compactflow.latents.base import Latent
from compactflow.testing.checks.support import Make
from compactflow.testing.results import Checks, SkipCheck, collect, require
from compactflow.testing.tools import relative_energy_distance

__all__ = [
    "CHECKS",
    "require_density",
    "require_inside",
    "require_law",
    "require_moments",
    "require_reach",
]

CHECKS: Checks = {}
_check = collect(CHECKS)

_BATCHES = 100
_INSIDE = 0.9  # share of samples; a support that holds a level of its mass leaves some outside
_POINTS = 100_000  # with weights, to integrate over; in few dimensions more of them count
_FEW = 3
_CENTRES = 30  # samples around which half of them lie
_NEIGHBOURS = 5000  # samples of which a share is about as near to a centre as they
_SHARE = 0.1
_CHANCE = 10  # what the energy distance of n samples to n others of their law stays below, times n
_BEYOND = 20  # the share of a law beyond the outermost of n samples stays below, times n
_SLOPES = (1.0, 4.0)  # of a softened edge, per standard deviation of the samples


@_check
def generator_decides(make: Make) -> None:
    """Samples are decided by the generator, if one is given, by it alone, and else by torch's.

    Boundary points, too, draw from nothing else than a generator that is given.
    """
    latent = make(3)
    require(
        not torch.equal(latent.sample(50), latent.sample(50)),
        "without a generator the samples are the same each time; draw from torch's",
    )
    before = torch.get_rng_state()
    for name, method in (("samples", latent.sample), ("boundary points", latent.boundary)):

        def draw(seed: int) -> Tensor:
            return method(50, torch.Generator().manual_seed(seed))  # noqa: B023

        require(torch.equal(draw(1), draw(1)), f"the same generator gives different {name}")
        if name == "samples":
            require(
                not torch.equal(draw(1), draw(2)), "different generators give the same samples"
            )
        require(
            torch.equal(torch.get_rng_state(), before),
            f"{name}: a generator is given and torch's is used too",
        )


@_check
def samples_lie_inside(make: Make) -> None:
    """At least 90 % of the samples have a signed distance of at most 0."""
    require_inside(make(3).double(), "")


@_check
def samples_are_independent(make: Make) -> None:
    """Samples do not repeat, nor depend on each other: means of a batch vary as they should."""
    latent = make(3).double()
    z = latent.sample(_BATCHES**2)
    require(len(torch.unique(z, dim=0)) == len(z), "samples repeat")
    for name, value in (("samples", z), ("squares of samples", z.square())):
        value = (value - value.mean(dim=0)) / value.std(dim=0)
        means = value.view(_BATCHES, _BATCHES, -1)
        for order, batches in (("each other", means), ("distant ones", means.transpose(0, 1))):
            variance = batches.mean(dim=1).var(dim=0) * _BATCHES
            spread = 6 * (2 / (_BATCHES - 1)) ** 0.5
            odd = variance[(variance - 1).abs() > spread]
            require(
                not len(odd),
                f"{name} depend on {order}: means of {_BATCHES} have {odd.tolist()} times the "
                "variance of independent ones",
            )


@_check
def samples_follow_density(make: Make) -> None:
    """Samples have the moments and distribution that log_prob says, in 1, 2, 3 and 8 D."""
    for dim in (1, 2, 3, 8):
        latent = make(dim).double()
        require_law(latent.sample(20_000), latent.log_prob, f"in D = {dim} the samples")


@_check
def density_integrates_to_one(make: Make) -> None:
    """The integral of exp(log_prob) is 1, in 1, 2, 3 and 8 dimensions."""
    for dim in (1, 2, 3, 8):
        require_density(make(dim).double(), f"in D = {dim}")


@_check
def softened_samples_follow_their_density(make: Make) -> None:
    """What sample_softened draws has the law of the softened support, in 1 and 3 dimensions."""
    for dim in (1, 3):
        latent = make(dim).double()
        size = float(latent.sample(1000).std(dim=0).min())
        for steepness in _SLOPES:
            slope = steepness / size

            def log_density(z: Tensor) -> Tensor:
                edges = torch.nn.functional.softplus(slope * latent.constraints(z))  # noqa: B023
                return -edges.sum(dim=1)

            z = latent.sample_softened(20_000, slope)
            if z is None:
                raise SkipCheck("it has no sample_softened")
            require_law(z, log_density, f"in D = {dim} what sample_softened draws")


def require_inside(latent: Latent, where: str) -> None:
    """Fail unless most samples of a latent lie inside its support."""
    share = float((latent.signed_distance(latent.sample(5000)) <= 0).double().mean())
    require(share >= _INSIDE, f"only {share:.0%} of the samples lie inside the support{where}")


def require_density(latent: Latent, where: str) -> None:
    """Fail unless the density of a latent integrates to one."""
    _, weight = _weighted(latent.sample(5000), latent.log_prob)
    integral, error = float(weight.mean()), float(weight.std() / len(weight) ** 0.5)
    require(
        abs(integral - 1) < 6 * error + 1e-3,
        f"exp(log_prob) integrates to {integral:.3f} ± {error:.3f} {where}",
    )


def require_law(z: Tensor, log_density: Callable[[Tensor], Tensor], what: str) -> None:
    """Fail unless samples follow a density, which need not be normalised."""
    proposal, weight = _weighted(z, log_density)
    weight = weight / weight.mean()
    require_moments(z, proposal, weight, what)
    require_reach(torch.cat([z, -z], 1), torch.cat([proposal, -proposal], 1), weight, what)
    n = 3000
    chance = _CHANCE / min(n, float(weight.sum() ** 2 / weight.square().sum()))
    # How many fall into each of a few clusters varies so much that a right law is above the bound
    # once in a thousand draws, so a second one is looked at.
    for part in (z[:n], z[n : 2 * n]):
        # Without replacement light points would be drawn too often, of few that count.
        drawn = torch.multinomial(weight, n, replacement=True)
        distance = relative_energy_distance(part, proposal[drawn])
        if distance < chance:
            break
    require(
        distance < chance,
        f"{what} do not follow the density: relative energy distance {distance:.2g}, where "
        f"chance gives less than {chance:.2g}",
    )


def require_moments(z: Tensor, proposal: Tensor, weight: Tensor, what: str) -> None:
    """Fail unless samples have the means and products of points with weights of mean 1."""
    middle = z.mean(dim=0)
    means, noise = _moments(z - middle, torch.ones_like(z[:, 0]))
    targets, noise_of_targets = _moments(proposal - middle, weight)
    scores = ((means - targets) / (noise + noise_of_targets).sqrt()).abs()
    for name, score in (("mean", scores[:, 0].max()), ("second moment", scores[:, 1:].max())):
        require(
            score < 6, f"{what}: their {name} is {score:.0f} standard errors from the density's"
        )


def require_reach(sizes: Tensor, points: Tensor, weight: Tensor, what: str) -> None:
    """Fail if much of a law lies beyond the outermost sample, as when samples are shrunk.

    `sizes` are those of the samples, ``(n, K)``, in each of K respects, and `points` those of
    points that follow the law with weights, ``(N, K)`` and ``(N,)``.
    """
    beyond = weight.unsqueeze(1) * (points > sizes.amax(dim=0)) / weight.sum()
    noise = beyond.square().sum(dim=0).sqrt()  # a single heavy point is no evidence
    share, chance = float((beyond.sum(dim=0) - 6 * noise).max()), _BEYOND / len(sizes)
    require(
        share < chance,
        f"{what} end too soon: a share of {share:.2g} at least lies beyond all of them, where "
        f"chance leaves less than {chance:.2g}",
    )


def _moments(z: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted means of coordinates, and of their products, ``(D, 1 + D)``, and their variances.

    The variances are those of a mean of values minus their own, as the weights are estimated too.
    """
    factors = torch.cat([torch.ones_like(z[:, :1]), z], dim=1)
    weight = weight.unsqueeze(1) / len(z)
    means = (weight * z).T @ factors
    squares = (weight * z).square().T @ factors.square()
    products = (weight.square() * z).T @ factors
    return means, squares - 2 * means * products + means.square() * weight.square().sum()


def _weighted(sample: Tensor, log_density: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Points around the samples, ``(N, D)``, with importance weights, ``(N,)``.

    Half are of a normal wider than the samples, half of narrow ones around some of them: of small
    parts far apart the wide one alone would hardly find any.
    """
    dim = sample.shape[1]
    n = _POINTS // 2 if dim <= _FEW else _POINTS
    centres, others = sample[-_CENTRES:], sample[:_NEIGHBOURS]
    near = round(_SHARE * len(others))
    reach = torch.cdist(centres, others).kthvalue(near, dim=1).values / dim**0.5
    means = torch.cat([sample.mean(dim=0, keepdim=True), centres])
    stds = torch.cat([1.5 * sample.std(dim=0, keepdim=True), reach[:, None].expand(-1, dim)])
    share = torch.full((len(means),), 0.5 / len(centres)).to(sample)
    share[0] = 0.5
    which = torch.multinomial(share, n, replacement=True)
    points = means[which] + stds[which] * torch.randn(n, dim, dtype=sample.dtype)
    # The log-density of each is a polynomial of the second degree, around the samples' middle.
    precision, middles = stds.square().reciprocal(), means - means[0]
    height = share.log() - stds.log().sum(dim=1) - 0.5 * (middles.square() * precision).sum(dim=1)
    x = points - means[0]
    log_densities = torch.addmm(
        height - 0.5 * dim * log(2 * pi),
        torch.cat([x, x.square()], dim=1),
        torch.cat([middles * precision, -0.5 * precision], dim=1).T,
    )
    # No sum is 0: a point has been drawn from one of them.
    return points, (log_density(points) - log_densities.exp().sum(dim=1).log()).exp()
