"""The interface of an invertible backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from compactflow.randomness import normal_like

__all__ = ["Backbone", "ConvergenceError"]


class ConvergenceError(RuntimeError):
    """An iterative inverse did not reach its tolerance."""


class Backbone(nn.Module, ABC):
    """An invertible map of ``R^D`` to itself: ``forward`` is data → latent.

    Both directions must stay finite for far inputs (``|x| = 1e6``): scoring those is what the
    map is for.

    A class whose map depends on a context as well is made with the keyword ``context``, the number
    C of its features, 0 for none, and gives it to ``super().__init__``. Then every method that it
    defines and that takes rows takes the keyword ``context``, too: of each row, ``(N, C)``. Given
    a context it is an invertible map of ``R^D``, and a row's depends on the row's own context
    only. See `compactflow.backbones.conditional`.

    Args:
        dim: The dimension D, at least 1.
        context: The number of features C of the context.

    Attributes:
        parallel: Whether M networks of this class run as one: every method then takes rows
            ``(M, N, D)`` as well, when each parameter and buffer is the M networks' own, stacked
            along a new first axis.
        categories: For each column of the context that a detector's rows carry, how many
            categories it has, or 0 for a number: see `compactflow.backbones.conditional.bind`.
        members: How many networks it consists of, more than 1 for a
            `compactflow.training.stack.Stack` only.

    Raises:
        ValueError: If `dim` is smaller than 1, or `context` than 0.

    Examples:
        >>> class Scale(Backbone):
        ...     def __init__(self, dim):
        ...         super().__init__(dim)
        ...         self.log_scale = nn.Parameter(torch.zeros(dim))
        ...
        ...     def forward(self, x):
        ...         return x * self.log_scale.exp()
        ...
        ...     def inverse(self, z, *, start=None):
        ...         return z / self.log_scale.exp()
        >>> Scale(3).log_abs_det(torch.ones(2, 3)).detach()
        tensor([0., 0.])
    """

    parallel: ClassVar[bool] = False

    def __init__(self, dim: int, context: int = 0) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"dim is the number of features and must be at least 1, got {dim}")
        if context < 0:
            raise ValueError(f"context is a number of features, at least 0, got {context}")
        self.dim = dim
        self.context = context
        self.categories: tuple[int, ...] = (0,) * context
        self.members: int = 1

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""

    @abstractmethod
    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents to data.

        It need not have a gradient; if it has one, it is the whole one.

        Args:
            z: Latents, ``(N, D)``.
            start: A guess at the answer, ``(N, D)``, from which an iterative inverse starts; an
                analytic one ignores it.

        Returns:
            Data, ``(N, D)``.

        Raises:
            ConvergenceError: If an iterative inverse does not converge; the message gives the
                number of rows, the residual and the iteration count.
        """

    def log_abs_det(self, x: Tensor) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``.

        Training by the mirror or Stein push never calls it. It serves the maximum-likelihood
        baseline, densities and tests. Here it is exact, by automatic differentiation, and costs
        D backward passes; a backbone with a cheaper one overrides it.
        """
        jacobian = torch.func.vmap(torch.func.jacrev(lambda row: self(row[None])[0]))(x)
        log_abs_det: Tensor = torch.linalg.slogdet(jacobian).logabsdet
        return log_abs_det

    def forward_and_log_abs_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The latents ``(N, D)`` of data ``(N, D)`` and their `log_abs_det`, ``(N,)``.

        A backbone that has both from one pass overrides it.
        """
        return self(x), self.log_abs_det(x)

    def recode(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Decode latents and encode the result: ``T(sg T⁻¹(z))``, with sg the stop-gradient.

        Its value is `z`; what it is for is its gradient for the parameters of T, taken at the
        decoded points. Here it runs an inverse and a forward pass; a backbone that has the
        activations of the one from the other overrides it.

        Args:
            z: Latents, ``(N, D)``; no gradient flows to them.
            start: As in `inverse`.

        Returns:
            Latents, ``(N, D)``, equal to `z` but for rounding.

        Raises:
            ConvergenceError: If an iterative inverse does not converge.
        """
        with torch.no_grad():
            x = self.inverse(z, start=start)
        latents: Tensor = self(x)
        return latents

    def forward_and_divergence(
        self, x: Tensor, sigma: float, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode rows, with Stein's estimate of how the map spreads each.

        Here it is ``ε·(T(x⁺) - T(x))/σ`` with ``x⁺ = sg T⁻¹(T(x) + σε)``, sg the stop-gradient and
        ε normal: see `compactflow.pushes.stein.Stein`. A backbone that is a chain of simpler maps
        overrides it with the sum of their estimates, which has less noise; each of those takes
        ``x⁺ = x + sg(F⁻¹(F(x) + σε) - x)``, so that earlier maps feel what it does to later ones.

        Args:
            x: Data, ``(N, D)``.
            sigma: σ, positive, in units of the latents, or of what each map gives.
            generator: Where to draw ε from.

        Returns:
            The latents of x, ``(N, D)``, and the estimate, ``(N,)``. Only its gradient for the
            parameters of T has a meaning, and of an override that for x: in the mean it is that
            of ``log |det ∂T/∂x|``, smoothed at scale σ.

        Raises:
            ConvergenceError: If an iterative inverse does not converge.
        """
        z = self(x)
        noise = normal_like(z, generator)
        shifted = self.recode(z.detach() + sigma * noise, start=x)
        return z, (noise * (shifted - z)).sum(dim=-1) / sigma

    def prepared(self) -> Callable[[Tensor], Tensor]:
        """The map from data ``(N, D)`` to latents ``(N, D)`` as it is now, without gradients.

        Here it is the backbone itself. One that can prepare its weights, so that rows in bulk pass
        in less time, overrides it; what is prepared may not change when the weights do.
        """
        return self

    def compile_passes(self) -> None:
        """Compile what a training step runs most, for good (`torch.compile`).

        The first steps then take seconds to minutes more. Here it is the pass from data to
        latents, with and without the log-det.
        """
        self.compile()
        self.forward_and_log_abs_det = torch.compile(self.forward_and_log_abs_det)  # type: ignore[method-assign]
