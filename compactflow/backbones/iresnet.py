"""Invertible residual network with a certified Lipschitz bound."""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu, softplus

from compactflow.backbones.base import Backbone
from compactflow.backbones.solvers import picard
from compactflow.randomness import normal_like

__all__ = ["IResNet", "spectral_bound"]

_SILU_SLOPE = 1.1  # the largest slope of x sigmoid(x) is 1.0998
_SHARE = 0.01  # of σ: an error of the inverse that Stein's estimate does not feel
_SQUARINGS = 4
_MARGIN = 1e-4  # for the rounding of the bound itself
_UNIT_SCALE = 0.5413248546  # softplus of it is 1

Weights = list[tuple[Tensor, Tensor]]


@final
class IResNet(Backbone):
    """Creates an invertible residual network: blocks ``y = (x + g(x)) Ψ + b`` with Lip(g) < 1.

    g is a network with two hidden layers and the activation ``x sigmoid(x) / 1.1``, whose slope is
    at most 1. Every weight matrix enters divided by a *certified* bound on its spectral norm, so
    Lip(g) ≤ `lipschitz` holds after every optimiser step, by construction. The inverse of a block
    is the fixed point of ``x = y - g(x)``, found by plain iteration.

    Args:
        dim: The dimension D.
        blocks: Number of blocks.
        width: Units of each of a block's two hidden layers.
        lipschitz: Bound on Lip(g), in (0, 1): larger is more flexible and slower to invert.
        max_iterations: Of the inverse, per block.

    Attributes:
        iterations: For each block from the last to the first, how many the latest inverse took.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), *Invertible residual networks*.
        Chen, Behrmann, Duvenaud, Jacobsen (2019), *Residual flows*, for the activation.

    Examples:
        >>> import torch
        >>> backbone = IResNet(3, blocks=2, width=16)
        >>> x = torch.randn(5, 3, dtype=torch.float64)
        >>> z = backbone.double()(x)
        >>> bool(torch.allclose(backbone.inverse(z), x))
        True
    """

    def __init__(
        self,
        dim: int,
        *,
        blocks: int = 8,
        width: int = 64,
        lipschitz: float = 0.9,
        max_iterations: int = 1000,
    ) -> None:
        super().__init__(dim)
        if blocks < 1 or width < 1:
            raise ValueError(f"blocks and width must be at least 1, got {blocks} and {width}")
        if not 0 < lipschitz < 1:
            raise ValueError(f"lipschitz must be in (0, 1), got {lipschitz}")
        if max_iterations < 1:
            raise ValueError(f"max_iterations must be at least 1, got {max_iterations}")
        self.blocks = nn.ModuleList(_Block(dim, width, lipschitz) for _ in range(blocks))
        self.max_iterations = max_iterations
        self.iterations: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        for block in self._blocks():
            x = block(x)
        return x

    def inverse(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``, from `start` if given, without a gradient.

        Raises:
            ConvergenceError: If rows do not converge; the message says which.
        """
        with torch.no_grad():
            return self._inverse(z, self._weights(), start)

    def recode(self, z: Tensor, *, start: Tensor | None = None) -> Tensor:
        """Decode latents ``(N, D)`` and encode the result, with its gradient, ``(N, D)``.

        Both directions share the bounded weights, which cost as much as some passes.

        Raises:
            ConvergenceError: If rows do not converge; the message says which.
        """
        weights = self._weights()
        with torch.no_grad():
            x = self._inverse(z, weights, start)
        return self._trace(x, weights)[-1]

    def forward_and_divergence(
        self, x: Tensor, sigma: float, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Latents ``(N, D)`` of data ``(N, D)`` and Stein's estimate, ``(N,)``.

        It is made in each block, so that no block adds to the noise of another, and with an
        inverse that is as exact as the estimate needs.

        Raises:
            ConvergenceError: If rows do not converge; the message says which.
        """
        total = x.new_zeros(len(x))
        self.iterations = []
        for block, w in zip(self._blocks(), self._weights(), strict=True):
            y, noise = block.map(x, w), normal_like(x, generator)
            with torch.no_grad():
                target = y + sigma * noise
                near, iterations = block.inverse(
                    target, w, (x, y), self.max_iterations, _SHARE * sigma
                )
                step = near - x
            self.iterations.append(iterations)
            total = total + (noise * (block.map(x + step, w) - y)).sum(dim=1) / sigma
            x = y
        return x, total

    def _weights(self) -> list[Weights]:
        return [block.weights() for block in self._blocks()]

    def _trace(self, x: Tensor, weights: list[Weights]) -> list[Tensor]:
        """Rows ``(N, D)`` before the first block and after each."""
        trace = [x]
        for block, w in zip(self._blocks(), weights, strict=True):
            trace.append(block.map(trace[-1], w))
        return trace

    def _inverse(self, z: Tensor, weights: list[Weights], start: Tensor | None) -> Tensor:
        near = None if start is None else self._trace(start, weights)
        self.iterations = []
        for i, (block, w) in reversed(list(enumerate(zip(self._blocks(), weights, strict=True)))):
            known = None if near is None else (near[i], near[i + 1])
            z, iterations = block.inverse(z, w, known, self.max_iterations)
            self.iterations.append(iterations)
        return z

    def _blocks(self) -> list[_Block]:
        return cast("list[_Block]", list(self.blocks))


@final
class _Block(nn.Module):
    def __init__(self, dim: int, width: int, lipschitz: float) -> None:
        super().__init__()
        sizes = [dim, width, width, dim]
        self.linears = nn.ModuleList(map(nn.Linear, sizes[:-1], sizes[1:]))
        self.bound = lipschitz ** (1 / len(self.linears))
        self.scale = nn.Parameter(torch.full((dim,), _UNIT_SCALE))
        self.shift = nn.Parameter(torch.zeros(dim))

    def weights(self) -> Weights:
        """Weight matrices, of spectral norm at most `bound` times the slope before, and biases.

        The slope of the activation is divided out here, once, and not in every pass.
        """
        layers = cast("list[nn.Linear]", list(self.linears))
        slopes = [1.0] + [_SILU_SLOPE] * (len(layers) - 1)
        return [
            (self._bounded(layer.weight, slope), layer.bias)
            for layer, slope in zip(layers, slopes, strict=True)
        ]

    def _bounded(self, weight: Tensor, slope: float) -> Tensor:
        return weight * ((self.bound / spectral_bound(weight)).clamp(max=1) / slope)

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x, self.weights())

    def map(self, x: Tensor, weights: Weights) -> Tensor:
        return (x + _residual(x, weights)) * softplus(self.scale) + self.shift

    def inverse(
        self,
        y: Tensor,
        weights: Weights,
        known: tuple[Tensor, Tensor] | None,
        max_iterations: int,
        accuracy: float = 0.0,
    ) -> tuple[Tensor, int]:
        """The inverse at `y`, with its iterations; `known` is a point near it and its image."""
        scale = softplus(self.scale)
        u = (y - self.shift) / scale

        def step(x: Tensor, rows: Tensor) -> Tensor:
            return u[rows] - _residual(x, weights)

        # Near a known point the first step needs no evaluation.
        start = u if known is None else known[0] + (y - known[1]) / scale
        return picard(step, start, max_iterations=max_iterations, accuracy=accuracy)


def _residual(x: Tensor, weights: Weights) -> Tensor:
    *hidden, (weight, bias) = weights
    for w, b in hidden:
        x = silu(linear(x, w, b), inplace=not torch.is_grad_enabled())
    return linear(x, weight, bias)


def spectral_bound(weight: Tensor) -> Tensor:
    """An upper bound on a matrix's spectral norm, differentiable once, a scalar.

    ``σ₁ ≤ |(WᵀW)^p|_F^(1/2p)`` for every p; with p = 16, by repeated squaring, it is at most
    ``n^(1/64)`` times too large for rank n: 8 % for n = 128, and far less if few singular values
    are near the largest.

    Args:
        weight: W, ``(M, N)``.

    References:
        Delattre, Barthélemy, Araujo, Allauzen (2023), *Efficient bound of Lipschitz constant for
        convolutional layers by Gram iteration*.
    """
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
    differentiable = torch.is_grad_enabled() and weight.requires_grad
    with torch.no_grad():
        bound, powers = _bound_and_powers(tall)
        if not differentiable:
            return bound
        # The bound is homogeneous, so it is the product of W with its own gradient, and that is
        # along W G³¹, with G = WᵀW. Taken so, it costs no backward pass.
        gradient = tall
        for power in powers:
            gradient = gradient @ power
        gradient = gradient * (bound / _positive((gradient * tall).sum()))
    return (gradient * tall).sum().clamp_min(torch.finfo(weight.dtype).eps)


def _bound_and_powers(tall: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The bound, and the powers 1, 2, 4 … of WᵀW, each up to a factor."""
    power = tall.T @ tall
    powers = []
    log_norm = power.new_zeros(())
    for _ in range(_SQUARINGS):
        # Divided by its norm, so that powers neither overflow nor vanish.
        norm = _positive(power.norm())
        powers.append(power / norm)
        power = powers[-1] @ powers[-1]
        log_norm = 2 * (log_norm + norm.log())
    log_norm = log_norm + _positive(power.norm()).log()
    return (1 + _MARGIN) * (log_norm / 2 ** (_SQUARINGS + 1)).exp(), [*powers, power]


def _positive(x: Tensor) -> Tensor:
    return x.clamp_min(torch.finfo(x.dtype).tiny)
