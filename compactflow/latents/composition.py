"""Latents made of others: the product of several, and one that is moved and scaled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, log
from typing import ClassVar, cast, final

import torch
from torch import Tensor, nn

from compactflow.latents.base import Latent
from compactflow.plugins import Kind

__all__ = ["Affine", "Product"]


@final
class Product(Latent):
    """Creates the product of latents, each of its own coordinates: z is inside if all parts are.

    Args:
        dim: The dimension D.
        parts: What makes each latent from a dimension; in a detector its name, its class, or a
            mapping with its ``name`` and ``options``.
        sizes: For each part its number of coordinates, of which one may be ``None``, for the
            rest; by default shares as equal as can be. A part of none is left out.

    Raises:
        ValueError: If there are no parts, if the sizes do not go with them or with `dim`, or if a
            part is not uniform under the barrier.

    Examples:
        >>> from compactflow.latents.ball import Ball
        >>> from compactflow.latents.cube import Cube
        >>> latent = Product(3, parts=[Cube, Ball], sizes=[1, None])
        >>> latent.signed_distance(torch.tensor([[0.5, 0.0, 0.0], [2.0, 3.0, 4.0]]))
        tensor([-0.5000,  5.0000])
    """

    components: ClassVar[dict[str, Kind]] = {"parts": "latent"}
    default_pull: ClassVar[str] = "barrier"

    def __init__(
        self,
        dim: int,
        *,
        parts: Sequence[Callable[[int], Latent]],
        sizes: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__(dim)
        shares = _shares(dim, len(parts), sizes)
        made = [make(size) for make, size in zip(parts, shares, strict=True) if size]
        self.parts = nn.ModuleList(map(_uniform, made))
        self.sizes = [size for size in shares if size]

    def adapt(self, x: Tensor) -> Tensor | None:
        """Fit each part to its coordinates of the rows: see `Latent.adapt`."""
        columns = self._split(x)
        found = [part.adapt(own) for part, own in zip(self._parts(), columns, strict=True)]
        if all(anchors is None for anchors in found):
            return None
        anchored = zip(found, columns, strict=True)
        return torch.cat([own if anchors is None else anchors for anchors, own in anchored], dim=1)

    @property
    def edge(self) -> float:
        """The width of the soft edge, the least of the parts'."""
        return min(part.edge for part in self._parts())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points, each part's coordinates by themselves, ``(n, D)``."""
        return torch.cat([part.sample(n, generator) for part in self._parts()], dim=1)

    def constraints(self, z: Tensor) -> Tensor:
        """Those of the parts, side by side, ``(N, M)``."""
        return torch.cat(self._each("constraints", z), dim=1)

    def signed_distance(self, z: Tensor) -> Tensor:
        """The sum of the parts' where it is positive, and the largest where none is, ``(N,)``."""
        each = torch.stack(self._each("signed_distance", z), dim=1)
        return each.clamp(min=0).sum(dim=1) + each.amax(dim=1).clamp(max=0)

    def gauge(self, z: Tensor) -> Tensor:
        """The largest of the parts', ``(N,)``.

        Raises:
            NotImplementedError: If a part has none.
        """
        return torch.stack(self._each("gauge", z), dim=1).amax(dim=1)

    def project(self, z: Tensor) -> Tensor:
        """Project each part's coordinates, ``(N, D)``."""
        return torch.cat(self._each("project", z), dim=1)

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points with one part on its boundary and the others inside theirs, ``(n, D)``.

        In D = 2 they run once around the mean of the points.
        """
        if len(self.sizes) == 1:
            return self._parts()[0].boundary(n, generator)
        edges = [part.boundary(n, generator) for part in self._parts()]
        inner = [part.project(part.sample(n, generator)) for part in self._parts()]
        turn = torch.arange(n, device=self.like.device)[:, None] % len(edges)
        pairs = enumerate(zip(edges, inner, strict=True))
        points = torch.cat([torch.where(turn == i, at, within) for i, (at, within) in pairs], 1)
        if self.dim != 2:
            return points
        around = points - points.mean(dim=0)
        return points[torch.atan2(around[:, 1], around[:, 0]).argsort()]

    def log_prob(self, z: Tensor) -> Tensor:
        """The sum of the parts', ``(N,)``."""
        return torch.stack(self._each("log_prob", z), dim=1).sum(dim=1)

    def _parts(self) -> list[Latent]:
        return cast("list[Latent]", list(self.parts))

    def _split(self, z: Tensor) -> tuple[Tensor, ...]:
        return torch.split(z, self.sizes, dim=1)

    def _each(self, method: str, z: Tensor) -> list[Tensor]:
        """What a method of each part gives for its coordinates."""
        pairs = zip(self._parts(), self._split(z), strict=True)
        return [getattr(part, method)(own) for part, own in pairs]


@final
class Affine(Latent):
    """Creates a latent that is another's, scaled and then shifted: ``z = shift + scale · u``.

    The scale is one number, so that distances stay distances.

    Args:
        dim: The dimension D.
        of: What makes the other latent from the dimension; in a detector its name, its class, or a
            mapping with its ``name`` and ``options``.
        scale: Positive.
        shift: In latent units, one number for all coordinates or one for each.

    Raises:
        ValueError: If an argument is out of range or has another length than `dim`, or if the
            other latent is not uniform under the barrier.

    Examples:
        >>> from compactflow.latents.ball import Ball
        >>> latent = Affine(2, of=Ball, scale=2.0, shift=[1.0, 0.0])
        >>> latent.signed_distance(torch.tensor([[1.0, 0.0], [5.0, 0.0]]))
        tensor([-2.,  2.])
    """

    components: ClassVar[dict[str, Kind]] = {"of": "latent"}
    default_pull: ClassVar[str] = "barrier"
    shift: Tensor  # (D,)

    def __init__(
        self,
        dim: int,
        *,
        of: Callable[[int], Latent],
        scale: float = 1.0,
        shift: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__(dim)
        if not 0 < scale < float("inf"):
            raise ValueError(f"scale must be positive and finite, got {scale}")
        shifts = list(shift) if isinstance(shift, Sequence) else [shift] * dim
        if len(shifts) != dim or not all(map(isfinite, shifts)):
            raise ValueError(f"shift must be a finite number or {dim} of them, got {shift}")
        self.of = _uniform(of(dim))
        self.scale = scale
        self.register_buffer("shift", torch.tensor(shifts, dtype=self.like.dtype))

    def adapt(self, x: Tensor) -> Tensor | None:
        """Fit the other latent to the rows, moved and scaled back: see `Latent.adapt`."""
        anchors = self.of.adapt(self._back(x))
        return None if anchors is None else self._move(anchors)

    @property
    def edge(self) -> float:
        """The width of the soft edge, scaled."""
        return self.scale * self.of.edge

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points, ``(n, D)``."""
        return self._move(self.of.sample(n, generator))

    def constraints(self, z: Tensor) -> Tensor:
        """Those of the other latent, scaled, ``(N, M)``."""
        return self.scale * self.of.constraints(self._back(z))

    def signed_distance(self, z: Tensor) -> Tensor:
        """That of the other latent, scaled, ``(N,)``."""
        return self.scale * self.of.signed_distance(self._back(z))

    def gauge(self, z: Tensor) -> Tensor:
        """That of the other latent, if nothing is shifted, ``(N,)``.

        Raises:
            NotImplementedError: If it is, or if the other latent has no gauge.
        """
        if self.shift.any():
            raise NotImplementedError("a shifted support may not be star-shaped around 0")
        return self.of.gauge(z / self.scale)

    def project(self, z: Tensor) -> Tensor:
        """The nearest point of the support, ``(N, D)``."""
        return self._move(self.of.project(self._back(z)))

    def boundary(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Points on the boundary, in the other latent's order, ``(n, D)``."""
        return self._move(self.of.boundary(n, generator))

    def level_project(self, z: Tensor, level: float) -> Tensor:
        """As the other latent's, ``(N, D)``."""
        return self._move(self.of.level_project(self._back(z), level / self.scale))

    def level_boundary(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Points of the other latent's level, in its order, ``(n, D)``."""
        return self._move(self.of.level_boundary(n, level / self.scale, generator))

    def level_sample(
        self, n: int, level: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw `n` points of the other latent's level, ``(n, D)``."""
        return self._move(self.of.level_sample(n, level / self.scale, generator))

    def log_prob(self, z: Tensor) -> Tensor:
        """That of the other latent, minus ``D log scale``, ``(N,)``."""
        return self.of.log_prob(self._back(z)) - self.dim * log(self.scale)

    def _back(self, z: Tensor) -> Tensor:
        return (z - self.shift) / self.scale

    def _move(self, u: Tensor) -> Tensor:
        return self.shift + self.scale * u


def _shares(dim: int, parts: int, sizes: Sequence[int | None] | None) -> list[int]:
    """How many coordinates each part has."""
    if not parts:
        raise ValueError("parts must name at least one latent, got none")
    if sizes is None:
        return [dim // parts + (i < dim % parts) for i in range(parts)]
    known = [size for size in sizes if size is not None]
    if len(sizes) != parts or len(sizes) - len(known) > 1 or any(size < 0 for size in known):
        raise ValueError(
            f"sizes must be {parts} numbers of coordinates, one of which may be None, got {sizes}"
        )
    rest = dim - sum(known)
    if rest < 0 or (rest and len(known) == parts):
        raise ValueError(f"sizes {list(sizes)} do not share out {dim} coordinates")
    return [rest if size is None else size for size in sizes]


def _uniform(latent: Latent) -> Latent:
    """The latent, if the barrier is its density."""
    if latent.confining_pull != "barrier":
        raise ValueError(
            f"{type(latent).__name__} cannot be part of another latent: its confining pull is "
            f"{latent.confining_pull!r}, and only that of supports with a barrier composes"
        )
    return latent
