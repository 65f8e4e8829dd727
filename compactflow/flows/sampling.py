"""New data that look like the inliers, by one flow."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import final

import numpy as np
import torch
from torch import Tensor

from compactflow.flows.contexts import group_of
from compactflow.flows.flow import CompactFlow
from compactflow.flows.neighbours import NEAREST, Neighbours
from compactflow.pulls.base import Pull

__all__ = ["Settled", "Varied"]

Score = Callable[[Tensor], Tensor]

_LEAST = 256  # draws at a time
_ROUNDS = 50
_RARE = 0.05  # a share inside below which latents are drawn inside a level
_SHARE = 0.75  # of the way from a row to a draw among its neighbours
_HALVINGS = 20
_PILOT = 1024  # draws that show how far columns spread
_CONTRACTED = 1.25  # by how much at most latents are drawn in or out for it
_BISECTIONS = 6
_DIGITS = 5  # of a standard deviation, in which values that repeat agree
_ROUNDING = 2e-6  # of a standard deviation, to which reference rows are exact
_MOST = 300  # digits that a number can be rounded to
_TIED = 0.1  # the share of repeated values from which a column takes known ones only


@final
class Settled:
    """Draws by decoding latents from where training leaves them.

    Args:
        flow: The flow.
        pull: The pull.
        score: Keeps draws to data of at most 0, if given.
        entropic: Whether latents settle at ``exp(-pull)/Z``, else at the latent distribution.
        level: The signed distance of latents up to which they may be inside.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> flow = CompactFlow(Coupling(2, blocks=2), Cube(2))
        >>> score, pull = flow.signed_distance, Barrier(flow.latent)
        >>> settled = Settled(flow, pull, score, entropic=True, level=0.0)
        >>> x = settled.draw(5, torch.Generator())
        >>> bool((flow.signed_distance(x) <= 0).all())
        True
    """

    def __init__(
        self, flow: CompactFlow, pull: Pull, score: Score | None, *, entropic: bool, level: float
    ) -> None:
        self._flow, self._pull, self._score = flow, pull, score
        self._entropic, self._level = entropic, level
        self._bound = inf

    def latents(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n latents, ``(n, D)``, as the flow gives them."""
        if self._bound < inf:  # of the support itself, whatever the scale
            return self._pull.settle(n, generator, level=self._bound)
        settle = self._pull.settle if self._entropic else self._pull.latent.sample
        return self._flow.scale * settle(n, generator)

    def draw(self, n: int, generator: torch.Generator, codes: Tensor | None = None) -> Tensor:
        """Draw n data, ``(n, D)``, given what each carries of its context, ``(n, P)``.

        Raises:
            ValueError: If hardly any draw is inside.
        """
        if self._score is None:
            return self._flow.decode(self.latents(n, generator), codes)
        if codes is not None:
            return self._draw_given(codes, generator)
        parts, found = [], 0
        for _ in range(_ROUNDS):
            x = self._flow.decode(self.latents(max(n, _LEAST), generator))
            kept = x[self._score(x) <= 0]
            parts.append(kept)
            found += len(kept)
            if found >= n:
                return torch.cat(parts)[:n]
            if self._entropic and len(kept) < _RARE * len(x):
                self._bound = self._level
        raise _none_inside()

    def _draw_given(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """A draw inside for each context, of as many as it takes."""
        assert self._score is not None
        x = self._flow.decode(self.latents(len(codes), generator), codes)
        for _ in range(_ROUNDS):
            outside = (self._score(x) > 0).nonzero().flatten()
            if not len(outside):
                return x
            if self._entropic and len(outside) > (1 - _RARE) * len(x):
                self._bound = self._level
            again = self.latents(len(outside), generator)
            x[outside] = self._flow.decode(again, codes[outside])
        raise _none_inside()


@final
class Varied:
    """Draws by varying reference rows among their neighbours, in the latents of a flow.

    A latent goes three quarters of the way from that of a reference row to a draw from a normal
    with the mean and covariance of five, its own and those of its four nearest, much as in a
    manifold's kernel estimate (Vincent, Bengio 2003). Each row serves once before any serves
    again. The latents are scaled so that the mean and standard deviation of each coordinate are
    those of the reference rows; and as a curved map spreads what it decodes, once more by one
    number, so that the columns of the data spread as theirs, in the median. Columns of which many
    values repeat, such as counts and codes, take one of the five rows' values, the nearest.

    Args:
        flow: The flow.
        neighbours: Its reference rows.
        score: Keeps draws to data of at most 0, if given.

    Raises:
        ValueError: If all reference rows score higher.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> flow, neighbours = CompactFlow(Coupling(2, blocks=2), Cube(2)), Neighbours(2, rows=9)
        >>> neighbours.fit(torch.arange(18.0).view(9, 2), flow.backbone)
        >>> Varied(flow, neighbours, None).draw(3, torch.Generator()).shape
        torch.Size([3, 2])
    """

    def __init__(self, flow: CompactFlow, neighbours: Neighbours, score: Score | None) -> None:
        self._flow, self._score = flow, score
        codes = neighbours.rows[:, flow.dim :]
        self._codes = codes if codes.shape[1] else None
        self._latents, self._near = neighbours.latents, neighbours.around()
        self._mean, self._wanted = self._latents.mean(dim=0), self._latents.std(0, correction=0)
        groups = self._latents[self._near]
        within = _SHARE**2 * groups.var(dim=1, correction=0).mean(dim=0)
        centres = torch.lerp(self._latents, groups.mean(dim=1), _SHARE)
        self._centre = centres.mean(dim=0)
        spread = (within + centres.var(dim=0, correction=0)).sqrt()
        self._scale = torch.where(spread > 0, self._wanted / spread, torch.ones_like(spread))
        self._rows = flow.preprocessing.inverse(neighbours.rows[:, : flow.dim])
        self._tied, self._known = _repeated(self._rows)
        self._scale = self._scale * self._contraction()
        self._inside = torch.arange(len(self._latents), device=self._latents.device)
        self._order = self._inside[:0]
        if score is not None:
            own = self._decode(self._latents, self._inside, self._codes)
            self._inside = self._inside[score(own) <= 0]
        if not len(self._inside):
            raise ValueError(
                "the boundary leaves out all reference rows; take inside=False, or set_boundary "
                "with a higher level"
            )

    def draw(self, n: int, generator: torch.Generator, codes: Tensor | None = None) -> Tensor:
        """Draw n data, ``(n, D)``, given what each carries of its context, ``(n, P)``.

        What is outside is moved back towards the reference row that it comes from. A given
        context takes reference rows of its group, if there are five.

        Raises:
            ValueError: If no reference row is inside in a context.
        """
        own = self._next(n, generator) if codes is None else self._alike(codes, generator)
        if codes is None and self._codes is not None:
            codes = self._codes[own]
        start, z = self._latents[own], self._vary(own, generator)
        x = self._decode(z, own, codes)
        if self._score is None:
            return x
        outside = (self._score(x) > 0).nonzero().flatten()
        for _ in range(_HALVINGS):
            if not len(outside):
                break
            z[outside] = (z[outside] + start[outside]) / 2
            given = None if codes is None else codes[outside]
            x[outside] = self._decode(z[outside], own[outside], given)
            outside = outside[self._score(x[outside]) > 0]
        return x

    def _vary(self, own: Tensor, generator: torch.Generator) -> Tensor:
        """Latents drawn around those of reference rows ``(n,)``, ``(n, D)``."""
        start, group = self._latents[own], self._latents[self._near[own]]
        weights = torch.randn(
            *group.shape[:2], 1, generator=generator, dtype=start.dtype, device=start.device
        )
        mean = group.mean(dim=1)
        z = mean + (weights * (group - mean[:, None])).sum(dim=1) / group.shape[1] ** 0.5
        z = torch.lerp(start, z, _SHARE)
        return self._mean + (z - self._centre) * self._scale

    @torch.no_grad()
    def _contraction(self) -> float:
        """The factor of latents by which draws spread as reference rows do."""
        own = torch.arange(_PILOT, device=self._rows.device) % len(self._rows)
        codes = None if self._codes is None else self._codes[own]
        z = self._vary(own, torch.Generator(self._rows.device).manual_seed(0))
        wanted = self._rows[own].std(dim=0, correction=0)
        low, high = 1 / _CONTRACTED, _CONTRACTED
        for _ in range(_BISECTIONS):
            factor = (low * high) ** 0.5
            drawn = self._decode(self._mean + factor * (z - self._mean), own, codes)
            found = drawn[:, : self._flow.dim].std(dim=0, correction=0)
            wide = (found / wanted)[wanted > 0].nanmedian() > 1
            low, high = (low, factor) if wide else (factor, high)
        return (low * high) ** 0.5

    def _alike(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """For each context ``(n, P)`` a reference row that is inside there, of its group."""
        assert self._codes is not None
        categories = self._flow.backbone.categories
        known, wanted = (
            group_of(self._codes[self._inside], categories),
            group_of(codes, categories),
        )
        own = torch.empty_like(wanted)
        for group in torch.unique(wanted):
            rows = (wanted == group).nonzero().flatten()
            few = self._inside[known == group]
            few = few if len(few) >= NEAREST else self._inside
            own[rows] = few[self._any(len(few), len(rows), generator)]
        outside = torch.arange(len(own), device=own.device)
        for _ in range(_HALVINGS):
            x = self._decode(self._latents[own[outside]], own[outside], codes[outside])
            if self._score is None or not len(outside := outside[self._score(x) > 0]):
                return own
            own[outside] = self._inside[self._any(len(self._inside), len(outside), generator)]
        raise _none_inside()

    def _any(self, of: int, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(of, (count,), generator=generator, device=self._latents.device)

    def _next(self, n: int, generator: torch.Generator) -> Tensor:
        """The next n reference rows in random order."""
        rows = [self._order]
        for _ in range(-(-(n - len(self._order)) // len(self._inside))):
            order = torch.randperm(
                len(self._inside), generator=generator, device=self._inside.device
            )
            rows.append(self._inside[order])
        joined = torch.cat(rows)
        own, self._order = joined[:n], joined[n:]
        return own

    def _decode(self, z: Tensor, own: Tensor, codes: Tensor | None) -> Tensor:
        """Data of latents ``(n, D)`` that vary reference rows ``(n,)``, ``(n, D)``."""
        x = self._flow.decode(z, codes)
        known = self._known[self._near[own]]  # (n, 5, K)
        nearest = (known - x[:, None, self._tied]).abs().argmin(dim=1, keepdim=True)
        x[:, self._tied] = known.gather(1, nearest)[:, 0]
        return x


def _none_inside() -> ValueError:
    return ValueError(
        "the boundary leaves out nearly all that is drawn; take inside=False, or set_boundary "
        "with a higher level"
    )


def _repeated(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The columns of ``(N, D)`` of which many values repeat, ``(K,)``, and these, ``(N, K)``."""
    found, known = [], [rows[:, :0]]
    for j, column in enumerate(rows.double().cpu().numpy().T):
        unit, rounded = column.std(), column
        if unit > 0:
            rounded = np.round(column, min(_DIGITS - int(np.ceil(np.log10(unit))), _MOST))
        if len(np.unique(rounded)) < (1 - _TIED) * len(column):
            found.append(j)
            # A value of more digits stays as it is, as the score would tell it from a rounded one.
            same = np.abs(rounded - column) <= _ROUNDING * unit
            known.append(torch.from_numpy(np.where(same, rounded, column)).to(rows)[:, None])
    return torch.tensor(found, dtype=torch.long, device=rows.device), torch.cat(known, dim=1)
