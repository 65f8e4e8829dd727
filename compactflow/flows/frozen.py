"""The score of an ensemble in few operations, for its weights as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given, spell_out
from compactflow.backbones.stacking import stack_modules
from compactflow.flows.contexts import Contexts
from compactflow.flows.neighbours import SPARE, Neighbours, shares, terms
from compactflow.flows.reach import draw_in
from compactflow.latents.base import Latent
from compactflow.preprocessing.base import Preprocessing

__all__ = ["Frozen"]

_FOLD = 4  # columns in a group whose least value is found at once
_FEW = 512  # columns that are sorted, a power of 2
_LITTLE = 1 << 15  # values that are gone through in less time than grouping them takes
_AT_ONCE = 1 << 20  # distances at a time, so that they stay in the cache of a core


@final
class Frozen:
    """Creates the mean score of an ensemble's flows, side by side.

    Args:
        layers: Their first layers.
        networks: Their backbones.
        known: What each knows of reference rows; none if the latent's support serves.
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
        known: Sequence[Neighbours],
        latent: Latent,
        contexts: Contexts | None = None,
    ) -> None:
        modules = [*layers, *networks, *known, *([contexts] if contexts else [])]
        parts = [[*part.parameters(), *part.buffers()] for part in modules]
        # A part that moves, to a device or dtype, does so as a whole.
        self._first = [tensors[0] for tensors in parts if tensors]
        self._counted = [t for tensors in parts for t in tensors if not t.is_inference()]
        self._versions = self._now()
        self._latent, self._contexts = latent, contexts
        self._preprocess = type(layers[0]).joined(layers)
        self._encode = _joined(networks)
        self._nearest = _Nearest(known) if known else None

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
        return torch.stack(each).mean(dim=0)

    def _scores(self, x: Tensor, codes: Tensor, scale: float) -> Tensor:
        """The score by each flow, ``(M, N)``; codes are for flows that take a context."""
        y = draw_in(self._preprocess(x)).to(self._latent.like)
        z = self._encode(y, codes)
        if self._nearest is not None:
            return self._nearest(y, z)
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


@final
class _Nearest:
    """The scores of `Neighbours` of M flows: candidates by one product, then measured."""

    def __init__(self, members: Sequence[Neighbours]) -> None:
        points = torch.stack([member.points for member in members])
        self._origin = points.mean(dim=1, keepdim=True)
        self._points = points - self._origin
        known = self._points.float()
        square, one = known.square().sum(dim=2, keepdim=True), known.new_ones(())
        self._known = torch.cat([-2 * known, one.expand_as(square), square], dim=2).mT
        names = ("gain", "fine", "start", "strength")
        self._gain, self._fine, self._start, self._strength = (
            torch.stack([getattr(member, name) for member in members]).view(-1, 1)
            for name in names
        )
        self._centre, unit, self._direction = (
            torch.stack([getattr(member, name) for member in members])
            for name in ("centre", "unit", "direction")
        )
        self._centre = self._centre.unsqueeze(1)
        self._unit = (unit / shares(members[0].centre)).unsqueeze(1)
        self._direction = self._direction.unsqueeze(2)
        self._leans = bool(self._strength.any())
        self._spacing = torch.cat([member.spacing for member in members])
        rows = points.shape[1]
        self._first = rows * torch.arange(len(members), device=points.device).view(-1, 1, 1)
        self._counts = members[0].counts
        most = self._counts[-1]
        self._near, self._candidates = min(most, rows), min(most + SPARE, rows)
        numbers = max(rows, self._candidates * points.shape[2])  # of one row and flow
        self._rows = max(1, _AT_ONCE // (len(members) * numbers))

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        """Scores of rows and latents ``(M, N, D)``, ``(M, N)``."""
        points = torch.cat([y, self._gain.unsqueeze(2) * z], dim=2)
        asked = points - self._origin
        # Its memory serves again, as new memory takes longer to fill than the product does.
        product = self._known.new_empty(len(y), min(self._rows, y.shape[1]), self._known.shape[2])
        parts = torch.split(asked, self._rows, dim=1)
        found = [self._terms(part, product[:, : part.shape[1]]) for part in parts]
        score = ((torch.cat(found, dim=1) - self._centre) / self._unit).sum(dim=2)
        if not self._leans:
            return score
        beyond = (torch.bmm(points, self._direction)[..., 0] - self._start).relu()
        return score + self._strength * torch.log1p(beyond)

    def _terms(self, asked: Tensor, product: Tensor) -> Tensor:
        rough = asked.float()
        square, one = rough.square().sum(dim=2, keepdim=True), rough.new_ones(())
        augmented = torch.cat([rough, square, one.expand_as(square)], dim=2)
        places = smallest(torch.bmm(augmented, self._known, out=product), self._candidates)
        places += self._first
        near = self._points.flatten(0, 1).index_select(0, places.flatten())
        near = near.view(*places.shape, -1).sub_(asked.unsqueeze(2))
        nearest = torch.linalg.vector_norm(near, dim=3).topk(self._near, dim=2, largest=False)
        spacing = None
        if len(self._spacing):
            spacing = self._spacing[places.gather(2, nearest.indices)]
        return terms(nearest.values, self._counts, spacing, self._fine)


def smallest(values: Tensor, count: int) -> Tensor:
    """Where in its row each of the `count` smallest of ``(..., C)`` stands, ``(..., count)``.

    The values are float32 and at least 0, up to rounding. On a CPU some that differ by less than
    one part in ten thousand may stand for each other.
    """
    columns = values.shape[-1]
    # Groups are of no use where all of them would be looked at, or there is little to look at.
    grouped = _FEW < columns > _FOLD * count and values.numel() > _LITTLE
    if values.device.type != "cpu" or columns <= count or not (grouped or columns <= _FEW):
        return values.topk(count, dim=-1, largest=False, sorted=False).indices
    if columns <= _FEW:
        # Positive floats are ordered as the integers of their bits are. With its place in the
        # last ones, a value is found again after NumPy has sorted it, which is vectorised.
        bits = values.clamp(min=0).view(torch.int32).bitwise_and_(-_FEW)
        bits |= torch.arange(columns, dtype=torch.int32)
        sought = np.partition(bits.numpy(), count - 1, axis=-1)[..., :count] & (_FEW - 1)
        return torch.from_numpy(sought.astype(np.int64))
    # They lie in that many of the groups whose least values are the smallest.
    groups = -(-columns // _FOLD)
    if groups * _FOLD > columns:
        values = pad(values, (0, groups * _FOLD - columns), value=torch.inf)
    least = values.view(*values.shape[:-1], _FOLD, groups).amin(dim=-2)
    places = smallest(least, min(count, groups)).unsqueeze(-1) + groups * torch.arange(_FOLD)
    places = places.flatten(-2)
    return places.gather(-1, smallest(values.gather(-1, places), count))
