"""Masked autoregressive flow whose inverse is a parallel fixed-point iteration."""

from __future__ import annotations

from typing import cast, final

import torch
from torch import Tensor, nn
from zuko.nn import MaskedMLP

from compactflow.backbones.channels import ChannelTransform
from compactflow.backbones.solvers import picard
from compactflow.backbones.squashing import squash
from compactflow.backbones.subnets import Constant
from compactflow.backbones.totals import TotallingBackbone
from compactflow.backbones.transforms import TransformName, make_transform

__all__ = ["Autoregressive"]


@final
class Autoregressive(TotallingBackbone):
    """Creates a masked autoregressive flow.

    Each layer maps ``y_i = τ(x_i; 0.1 net_i(x_1 … x_{i-1}))`` with an increasing τ, in one pass;
    the order of the features turns around from layer to layer. The inverse of a layer iterates
    ``x ← τ⁻¹(y; 0.1 net(x))``, all features at once: feature i is exact after i iterations, and
    far fewer do where features depend weakly on each other (Song, Meng, Liao, Ermon 2021,
    *Accelerating feedforward computation via parallel nonlinear equation solving*).

    Args:
        dim: The dimension D.
        transform: τ: ``"affine"``, ``"additive"`` or ``"spline"``, a rational-quadratic spline
            before an affine map; ``"volume-preserving"``, affine with log-scales that sum to 0.
        layers: Number of layers.
        width: Units of each of a network's two hidden layers.
        clamp: Bound on a layer's log-scale.
        bins: Bins of a spline, at least 2.
        bound: A spline acts on ``[-bound, bound]``, in units of the backbone's input.
        horizon: c, in units of the backbone's input: the network sees ``c asinh(x / c)``, which
            tames far inputs.
        context: Features of the context, which each network sees beside x.

    Attributes:
        iterations: For each layer from the last to the first, how many the latest inverse took.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Papamakarios, Pavlakou, Murray (2017), *Masked autoregressive flow for density estimation*.

    Examples:
        >>> import torch
        >>> backbone = Autoregressive(3, layers=2, width=16)
        >>> x = torch.randn(5, 3, dtype=torch.float64)
        >>> z = backbone.double()(x)
        >>> bool(torch.allclose(backbone.inverse(z), x))
        True
    """

    def __init__(
        self,
        dim: int,
        *,
        transform: TransformName = "affine",
        layers: int = 4,
        width: int = 64,
        clamp: float = 2.0,
        bins: int = 8,
        bound: float = 3.0,
        horizon: float = 1.0,
        context: int = 0,
    ) -> None:
        super().__init__(dim, context)
        if layers < 1 or width < 1:
            raise ValueError(f"layers and width must be at least 1, got {layers} and {width}")
        if not horizon > 0:
            raise ValueError(f"horizon must be positive, got {horizon}")
        channels = make_transform(transform, clamp=clamp, bins=bins, bound=bound)
        self.layers = nn.ModuleList(
            _Layer(dim, width, channels, horizon, context, backward=bool(i % 2))
            for i in range(layers)
        )
        self.iterations: list[int] = []

    def forward(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        for layer in self._layers():
            x, _ = layer(x, context)
        return x

    @torch.no_grad()
    def inverse(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``, from `start` if given, without a gradient.

        Raises:
            ConvergenceError: If values become not finite.
        """
        starts: list[Tensor | None] = [None] * len(self.layers)
        if start is not None:
            for i, layer in enumerate(self._layers()):
                starts[i], (start, _) = start, layer(start, context)
        self.iterations = []
        for layer, guess in zip(reversed(self._layers()), reversed(starts), strict=True):
            z, iterations = layer.inverse(z, z if guess is None else guess, context)
            self.iterations.append(iterations)
        return z

    def forward_and_total(
        self,
        x: Tensor,
        context: Tensor | None,
        sigma: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `TotallingBackbone.forward_and_total`.

        An estimate is made for each feature in each layer, which takes no inverse: a layer is D
        maps in turn that each move one feature.
        """
        total = x.new_zeros(len(x))
        for layer in self._layers():
            x, spread = layer(x, context, sigma, generator)
            total = total + spread.sum(dim=1)
        return x, total

    def _layers(self) -> list[_Layer]:
        return cast("list[_Layer]", list(self.layers))


@final
class _Layer(nn.Module):
    def __init__(
        self,
        dim: int,
        width: int,
        transform: ChannelTransform,
        horizon: float,
        context: int,
        *,
        backward: bool,
    ) -> None:
        super().__init__()
        self.transform = transform
        self.horizon = horizon
        before = torch.ones(dim, dim).tril(-1).bool()
        # Feature by feature, as in the first model files.
        seen = torch.cat([before.T if backward else before, before.new_ones(dim, context)], dim=1)
        adjacency = seen.repeat_interleave(transform.size, dim=0)
        self.net = (
            MaskedMLP(adjacency, (width, width), activation=nn.ReLU)
            if seen.any()
            else Constant(transform.size)
        )

    def _predict(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """What the network predicts for each feature, ``(N, size, D)``."""
        seen = squash(x, self.horizon)
        seen = seen if context is None else torch.cat([seen, context], dim=1)
        parameters: Tensor = 0.1 * self.net(seen)
        return parameters.view(*x.shape, self.transform.size).transpose(1, 2)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None,
        sigma: float | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Map ``(N, D)`` to ``(N, D)``, with the log-slopes or the divergence."""
        parameters = self._predict(x, context)
        return self.transform.forward_and_spread(x, parameters, sigma, generator)

    def inverse(
        self, y: Tensor, start: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, int]:
        def step(x: Tensor, rows: Tensor) -> Tensor:
            own = None if context is None else context[rows]
            return self.transform.inverse(y[rows], self._predict(x, own))

        # One more than the features, to see that the last changed nothing.
        return picard(step, start, max_iterations=y.shape[1] + 1, exact=True)
