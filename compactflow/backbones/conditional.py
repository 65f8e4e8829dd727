"""Backbones given a context: the map of a row depends on its machine, hour or shop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone

__all__ = ["Given", "bind", "overrides", "part", "spell_out", "takes_context"]


@final
class Given(Backbone):
    """Creates a backbone of one that takes a context, for rows whose context is known.

    So whatever works with a backbone, such as a push, works with one that takes a context.

    Args:
        backbone: The backbone; the weights stay its own.
        rows: The context of each row that is to pass, ``(N, C)``.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> x, machine = torch.randn(4, 2), torch.eye(4)
        >>> given = Given(Coupling(2, blocks=2, context=4), machine)
        >>> torch.allclose(given.inverse(given(x)), x, atol=1e-4)
        True
    """

    def __init__(self, backbone: Backbone, rows: Tensor) -> None:
        super().__init__(backbone.dim)
        self.members = backbone.members
        # In tuples, as all this is registered elsewhere.
        self._inner, self._rows = (backbone,), (rows,)

    @property
    def inner(self) -> Backbone:
        """The backbone that takes the context."""
        return self._inner[0]

    @property
    def context_of_rows(self) -> Tensor:
        """The context of each row, ``(N, C)``."""
        return self._rows[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        latents: Tensor = self.inner(x, context=self.context_of_rows)
        return latents

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``."""
        return self.inner.inverse(z, start=start, context=self._rows[0])  # type: ignore[call-arg]

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        if overrides(self, "log_abs_det"):
            return self._call("log_abs_det", x)

        def map_(row: Tensor, context: Tensor) -> Tensor:
            latents: Tensor = self.inner(row[None], context=context[None])[0]
            return latents

        jacobian = torch.func.vmap(torch.func.jacrev(map_))(x, self.context_of_rows)
        log_abs_det: Tensor = torch.linalg.slogdet(jacobian).logabsdet
        return log_abs_det

    def forward_and_log_abs_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        if overrides(self, "forward_and_log_abs_det"):
            return self._call("forward_and_log_abs_det", x)
        return super().forward_and_log_abs_det(x)

    def recode(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Decode latents ``(N, D)`` and encode the result; see `Backbone.recode`."""
        if overrides(self, "recode"):
            return self._call("recode", z, start=start)
        return super().recode(z, start=start)

    def forward_and_divergence(
        self, x: Tensor, sigma: float, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Latents and Stein's estimate; see `Backbone.forward_and_divergence`."""
        if overrides(self, "forward_and_divergence"):
            return self._call("forward_and_divergence", x, sigma, generator)
        return super().forward_and_divergence(x, sigma, generator)

    def _call(self, method: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        return getattr(self.inner, method)(*args, **options, context=self.context_of_rows)


def bind(backbone: Backbone, rows: Tensor) -> tuple[Backbone, Tensor]:
    """A backbone given the context behind rows ``(..., D + C)``, and the rows ``(..., D)`` alone.

    A backbone that takes no context stays as it is.

    Args:
        backbone: The backbone.
        rows: The rows, with codes behind them if the backbone has `categories`.
    """
    x, context = rows.tensor_split([backbone.dim], dim=-1)
    if not backbone.context:
        return backbone, x
    return Given(backbone, spell_out(context, backbone.categories)), x


def part(backbone: Backbone, rows: int) -> tuple[Backbone, Backbone]:
    """A backbone for so many rows of a batch, the first, and one for the others."""
    if not isinstance(backbone, Given):
        return backbone, backbone
    one, other = backbone.context_of_rows.tensor_split([rows])
    return Given(backbone.inner, one), Given(backbone.inner, other)


def overrides(backbone: Backbone, method: str) -> bool:
    """Whether a backbone has a method of its own, in place of that of the base class."""
    inner = backbone.inner if isinstance(backbone, Given) else backbone
    return getattr(type(inner), method) is not getattr(Backbone, method)


def spell_out(codes: Tensor, categories: Sequence[int]) -> Tensor:
    """The features of a context ``(..., C)`` of codes ``(..., P)``: 1 for the category, else 0.

    A code that is none of a column's categories has 0 for all of them.

    Args:
        codes: The codes.
        categories: For each column how many categories it has, or 0 for a number, which stays.
    """
    blocks = []
    for column, count in zip(codes.unbind(dim=-1), categories, strict=True):
        values = torch.arange(count, device=codes.device)
        one = column.unsqueeze(-1)
        blocks.append((one == values).to(codes) if count else one)
    return torch.cat(blocks, dim=-1) if blocks else codes


def takes_context(component: Callable[..., Any]) -> bool:
    """Whether a class or function makes backbones that take a context: by its signature."""
    plain = getattr(component, "__init__", None) is Backbone.__init__  # which takes any
    return not plain and "context" in inspect.signature(component).parameters
