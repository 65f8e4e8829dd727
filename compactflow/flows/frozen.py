"""The score of an ensemble in few operations, for its weights as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast, final

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given, spell_out
from compactflow.backbones.stacking import stack_modules
from compactflow.flows.contexts import Contexts
from compactflow.flows.nearness import Nearness
from compactflow.flows.neighbours import Neighbours, contrast, shares, terms
from compactflow.flows.reach import draw_in
from compactflow.flows.search import Search
from compactflow.flows.univariate import side_by_side
from compactflow.latents.base import Latent
from compactflow.preprocessing.base import Preprocessing

__all__ = ["Frozen"]


@final
class Frozen:
    """Creates the mean score of an ensemble's flows, side by side.

    Args:
        layers: Their first layers.
        networks: Their backbones.
        scores: How each scores by reference rows; none if the latent's support serves.
        latent: Their latent.
        contexts: What is known of the contexts that rows carry, if they do.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.ball import Ball
        >>> from compactflow.preprocessing.linear import Identity
        >>> networks, layers = [Coupling(2, blocks=2)] * 2, [Identity(2)] * 2
        >>> frozen = Frozen(layers, networks, [], Ball(2))
        >>> frozen(torch.tensor([[0.0, 0.5]])).shape
        torch.Size([1])

    What is prepared here does not follow their weights: `fits` says whether these are the same.
    """

    def __init__(
        self,
        layers: Sequence[Preprocessing],
        networks: Sequence[Backbone],
        scores: Sequence[Nearness],
        latent: Latent,
        contexts: Contexts | None = None,
    ) -> None:
        modules = [*layers, *networks, *scores, *([contexts] if contexts else [])]
        parts = [[*part.parameters(), *part.buffers()] for part in modules]
        # A part that moves, to a device or dtype, does so as a whole.
        self._first = [tensors[0] for tensors in parts if tensors]
        self._counted = [t for tensors in parts for t in tensors if not t.is_inference()]
        self._versions = self._now()
        self._latent, self._contexts = latent, contexts
        self._preprocess = type(layers[0]).joined(layers)
        self._encode = _joined(networks)
        self._near = _joined_scores(scores) if scores else None

    def fits(self) -> bool:
        """Whether the ensemble has the weights for which this was made."""
        return self._versions == self._now()

    def __call__(self, x: Tensor, *, scale: float = 1.0) -> Tensor:
        """The score of data ``(N, D)``, ``(N,)``.

        Args:
            x: The data.
            scale: What latents are multiplied by for the support's score.
        """
        if self._contexts is None:
            return self._scores(x, x, scale).mean(dim=0)
        features, codes = x.tensor_split([self._latent.dim], dim=1)
        scores = self._scores(features, codes, scale)
        each = [self._contexts.level(score, codes, m) for m, score in enumerate(scores)]
        return self._contexts.bring(torch.stack(each).mean(dim=0), codes)

    def _scores(self, x: Tensor, codes: Tensor, scale: float) -> Tensor:
        """The score by each flow, ``(M, N)``; codes are for flows that take a context."""
        y = draw_in(self._preprocess(x)).to(self._latent.like)
        z = self._encode(y, codes)
        if self._near is not None:
            return self._near(x, y, z)
        return self._latent.signed_distance(scale * z.flatten(0, 1)).view(z.shape[:2])

    def _now(self) -> list[int]:
        return [t._version for t in self._counted] + [t.data_ptr() for t in self._first]


def _joined(networks: Sequence[Backbone]) -> Callable[[Tensor, Tensor], Tensor]:
    """The networks side by side, from ``(M, N, D)``, and codes ``(N, P)``, to ``(M, N, D)``."""
    first, parallel = networks[0], networks[0].parallel and len(networks) > 1
    if first.context:
        ones = [stack_modules(networks)] if parallel else networks

        def given(y: Tensor, codes: Tensor) -> Tensor:
            context = spell_out(codes.to(y), first.categories)
            if parallel:
                return cast("Tensor", Given(ones[0], context.expand(len(y), -1, -1))(y))
            maps = [Given(network, context) for network in ones]
            return torch.stack([one(rows) for one, rows in zip(maps, y, strict=True)])

        return given
    if parallel:
        stacked = stack_modules(networks).prepared()
        return lambda y, _: stacked(y)
    maps = [network.prepared() for network in networks]
    return lambda y, _: torch.stack([one(rows) for one, rows in zip(maps, y, strict=True)])


def _joined_scores(scores: Sequence[Nearness]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The scores side by side, from data ``(N, D)``, rows and latents, to ``(M, N)``."""
    rows = _Nearest([score.known for score in scores])
    columns = side_by_side([score.columns for score in scores])
    share = torch.stack([score.share for score in scores]).view(-1, 1)

    def score(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        near = rows(y, z)
        return near.lerp(columns(x).to(near), share)

    return score


@final
class _Nearest:
    """The scores of `Neighbours` of M flows, with one search for all.

    A score is a sum of distances to neighbours, each with a weight, of the term that compares and
    of a constant.
    """

    def __init__(self, members: Sequence[Neighbours]) -> None:
        points, self._direction, centre, unit = (
            torch.stack([getattr(member, name) for member in members])
            for name in ("points", "direction", "centre", "unit")
        )
        self._gain, self._fine, self._start, self._strength = (
            torch.stack([getattr(member, name) for member in members]).view(-1, 1)
            for name in ("gain", "fine", "start", "strength")
        )
        self._direction = self._direction.unsqueeze(2)
        self._leans = bool(self._strength.any())
        spacing = torch.stack([member.spacing for member in members])
        self._spacing = spacing if spacing.numel() else None
        weights = shares(members[0].centre) / unit  # of each term, (M, T)
        self._constant = (weights * centre).sum(dim=1, keepdim=True)
        self._compares = weights[:, -1:]
        counts = members[0].counts
        self._search = Search(points, counts[-1])
        # From distances in a row to their weighted sum, and to the mean that is compared.
        each = torch.eye(min(counts[-1], points.shape[1])).to(points)
        means = terms(each, counts, None, 0.0)
        weighted = means @ weights[:, : len(counts)].T
        compared = means[:, 0 if self._spacing is None else 1]
        self._sums = torch.stack([weighted.T, compared.expand_as(weighted.T)], dim=2)

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        """Scores of rows and latents ``(M, N, D)``, ``(M, N)``."""
        points = torch.cat([y, self._gain.unsqueeze(2) * z], dim=2)
        near, places = self._search(points)
        score, mean = torch.bmm(near, self._sums).unbind(dim=2)
        score = score - self._constant
        if self._spacing is not None:
            spacing = self._spacing.gather(1, places.flatten(1)).view(places.shape)
            score = score.addcmul_(self._compares, contrast(near, mean, spacing, self._fine))
        if not self._leans:
            return score
        beyond = (torch.bmm(points, self._direction)[..., 0] - self._start).relu()
        return score + self._strength * torch.log1p(beyond)
