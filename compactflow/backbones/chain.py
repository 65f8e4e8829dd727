"""Backbones one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast, final

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given, overrides, takes_context
from compactflow.backbones.totals import TotallingBackbone
from compactflow.plugins import Kind
from compactflow.randomness import normal_like

__all__ = ["Chain"]


@final
class Chain(TotallingBackbone):
    """Creates a backbone that is several: what one gives is what the next one takes.

    In a detector a list stands for it: ``backbone=["coupling", "autoregressive"]``.

    Args:
        dim: The dimension D.
        links: What makes each backbone from the dimension; in a detector its name, its class, or
            a mapping with its ``name`` and ``options``.
        context: Features of the context, for the links that take one.

    Raises:
        ValueError: If there are no links.

    Examples:
        >>> from compactflow.backbones.autoregressive import Autoregressive
        >>> from compactflow.backbones.coupling import Coupling
        >>> chain, x = Chain(2, links=[Coupling, Autoregressive]), torch.randn(4, 2)
        >>> torch.allclose(chain.inverse(chain(x)), x, atol=1e-4)
        True
    """

    components: ClassVar[dict[str, Kind]] = {"links": "backbone"}

    def __init__(
        self, dim: int, *, links: Sequence[Callable[..., Backbone]], context: int = 0
    ) -> None:
        if not links:
            raise ValueError("links must name at least one backbone, got none")
        made = [make(dim, context=context) if takes_context(make) else make(dim) for make in links]
        super().__init__(dim, max(link.context for link in made))
        self.links = nn.ModuleList(made)

    @property
    def parallel(self) -> bool:  # type: ignore[override]
        """Whether all links are."""
        return all(link.parallel for link in self._links())

    def forward(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        for link in self._links(context):
            x = link(x)
        return x

    def inverse(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``; see `Backbone.inverse`.

        It has a gradient if the inverse of each link has one.
        """
        links = self._links(context)
        starts: list[Tensor | None] = [start] * len(links)
        if start is not None:
            for i, link in enumerate(links[:-1]):
                starts[i + 1] = start = link(start)
        cut = False
        for i, link in reversed(list(enumerate(links))):
            asked = z.requires_grad or any(p.requires_grad for p in self.links[i].parameters())
            z = link.inverse(z, start=starts[i])
            cut = cut or (asked and not z.requires_grad)
        # Else what the links before it give would pass for the gradient of all.
        return z.detach() if cut else z

    def forward_and_total(
        self,
        x: Tensor,
        context: Tensor | None,
        sigma: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `TotallingBackbone.forward_and_total`.

        The sum of the links' estimates has less noise than one of the whole chain.
        """
        total = x.new_zeros(x.shape[:-1])
        for link in self._links(context):
            x, own = (
                link.forward_and_log_abs_det(x)
                if sigma is None
                else _divergence(link, x, sigma, generator)
            )
            total = total + own
        return x, total

    def _links(self, context: Tensor | None = None) -> list[Backbone]:
        """The links, each given the context if it takes one."""
        links = cast("list[Backbone]", list(self.links))
        if context is None:
            return links
        return [Given(link, context) if link.context else link for link in links]


def _divergence(
    link: Backbone, x: Tensor, sigma: float, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """A link's latents and its estimate, whose gradient is meant for x too."""
    if overrides(link, "forward_and_divergence"):
        return link.forward_and_divergence(x, sigma, generator)
    z: Tensor = link(x)
    noise = normal_like(z, generator)
    with torch.no_grad():
        step = link.inverse(z + sigma * noise, start=x) - x
    return z, (noise * (link(x + step) - z)).sum(dim=-1) / sigma
