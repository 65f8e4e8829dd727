"""Flows of normflows as backbones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast, final

import normflows as nf
import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone, ConvergenceError
from compactflow.backbones.conditional import takes_context
from compactflow.backbones.squashing import Squash

__all__ = ["NormflowsFlow", "from_normflows", "maf", "nsf", "realnvp"]


@final
class NormflowsFlow(Backbone):
    """Creates a backbone of layers of normflows, which map latent → data, the other way round.

    Args:
        dim: The dimension D.
        flows: The layers, in normflows' order: the first is next to the latent.
        context: The features C of the context that the layers are made for; 0 for none. Layers
            that take none are the same in any.

    References:
        Stimper et al. (2023), *normflows: A PyTorch package for normalizing flows*.

    Examples:
        >>> import torch
        >>> backbone = realnvp(3, layers=2)
        >>> backbone(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """

    def __init__(self, dim: int, flows: Sequence[nn.Module], context: int = 0) -> None:
        super().__init__(dim, context)
        self.flows = nn.ModuleList(flows)

    def forward(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        return self.forward_and_log_abs_det(x, context=context)[0]

    def inverse(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``; `start` is ignored.

        Raises:
            ConvergenceError: If a layer of normflows finds that rounding spoils its inverse.
        """
        if not len(z):  # of which normflows cannot infer shapes
            return z
        try:
            for flow in self.flows:
                z, _ = _call(flow.forward, z, context)
        except AssertionError as error:
            raise ConvergenceError(
                f"the inverse of a layer of normflows failed for a batch of {len(z)} rows: its "
                "formula has no real root at this precision; use float64 or compactflow's splines"
            ) from error
        return z

    def log_abs_det(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        return self.forward_and_log_abs_det(x, context=context)[1]

    def forward_and_log_abs_det(
        self, x: Tensor, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        total = x.new_zeros(len(x))
        if not len(x):
            return x, total
        for flow in reversed(list(self.flows)):
            x, log_abs_det = _call(cast("nf.flows.Flow", flow).inverse, x, context)
            total = total + log_abs_det
        return x, total


def _call(
    method: Callable[..., tuple[Tensor, Tensor]], x: Tensor, context: Tensor | None
) -> tuple[Tensor, Tensor]:
    """A direction of a layer, given the context if there is one and the layer takes it."""
    if context is None or not takes_context(method):
        return method(x)
    return method(x, context=context)


@final
class _Reversed(nf.flows.Reverse):
    """A layer turned round, with the context that normflows' own class leaves out."""

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _call(self.flow.inverse, z, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _call(self.flow.forward, z, context)


def from_normflows(
    flow: nf.NormalizingFlow | nf.flows.Flow | Sequence[nf.flows.Flow],
    dim: int | None = None,
    *,
    context: int = 0,
) -> NormflowsFlow:
    """Make a backbone of a flow of normflows; its base distribution, if any, is not used.

    Layers whose inverse is approximate, such as ``nf.flows.Residual``, stay so.

    Args:
        flow: A whole flow, one layer, or layers in normflows' order.
        dim: The dimension D; a whole flow knows its own.
        context: The features of the context that its layers were made for.

    Raises:
        ValueError: If `dim` is not given and `flow` does not know it.
        TypeError: If `flow` is of another type.
    """
    if isinstance(flow, nf.NormalizingFlow):
        dim = dim or flow.q0.sample(1).shape[1]
        flow = list(flow.flows)
    flows = [flow] if isinstance(flow, nn.Module) else list(flow)
    if not flows or not all(isinstance(each, nf.flows.Flow) for each in flows):
        raise TypeError(f"flow must be a flow, a layer or layers of normflows, got {flow!r}")
    if dim is None:
        raise ValueError("layers do not know their dimension; pass dim, the number of features")
    return NormflowsFlow(dim, flows, context)


def realnvp(dim: int, *, layers: int = 8, width: int = 64) -> NormflowsFlow:
    """Make masked affine couplings."""
    flows: list[nf.flows.Flow] = []
    for i in range(layers):
        # The scale's tanh keeps far inputs finite.
        shift = nf.nets.MLP([dim, width, dim], init_zeros=True)
        scale = nf.nets.MLP([dim, width, dim], init_zeros=True, output_fn="tanh")
        flows.append(nf.flows.MaskedAffineFlow((torch.arange(dim) + i) % 2, shift, scale))
    return from_normflows(flows, dim)


def nsf(dim: int, *, layers: int = 4, width: int = 64, context: int = 0) -> NormflowsFlow:
    """Make coupled rational-quadratic splines with linear tails, mixed by LU-factored maps.

    Raises:
        ValueError: If `dim` is 1.
    """
    _check_two("NSF", dim)
    flows: list[nf.flows.Flow] = []
    for _ in range(layers):
        spline = nf.flows.CoupledRationalQuadraticSpline(
            dim, 2, width, num_context_channels=context or None
        )
        flows += [spline, nf.flows.LULinearPermute(dim)]
    return from_normflows(flows, dim, context=context)


def maf(
    dim: int,
    *,
    layers: int = 4,
    width: int = 64,
    horizon: float | None = 1.0,
    context: int = 0,
) -> NormflowsFlow:
    """Make masked affine autoregressive layers, reversed so that data → latent is one pass.

    Args:
        dim: The dimension D, at least 2.
        layers: Number of layers.
        width: Hidden units.
        horizon: c, where the networks see ``c asinh(x / c)``. normflows' own see x itself, which
            ``None`` gives back: scales then go to their limits as shifts grow, so that rows beyond
            about a hundred standard deviations do not return from the inverse.
        context: The features of the context.

    Raises:
        ValueError: If `dim` is 1, or `horizon` not positive.
    """
    _check_two("MAF", dim)
    flows: list[nf.flows.Flow] = []
    for _ in range(layers):
        masked = nf.flows.MaskedAffineAutoregressive(dim, width, context_features=context or None)
        if horizon is not None:
            masked.autoregressive_net.preprocessing = Squash(horizon)
        flows += [_Reversed(masked), nf.flows.LULinearPermute(dim)]
    return from_normflows(flows, dim, context=context)


def _check_two(name: str, dim: int) -> None:
    if dim < 2:
        raise ValueError(f"'normflows:{name}' needs at least 2 features; use 'zuko:{name}'")
