"""Flows of zuko as backbones."""

from __future__ import annotations

from functools import partial
from typing import Any, cast, final

import zuko
from torch import Tensor
from torch.distributions import Transform
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.lazy import Flow, LazyTransform, UnconditionalTransform

from compactflow.backbones.base import Backbone
from compactflow.backbones.squashing import Squash

__all__ = ["ZukoFlow", "from_zuko", "maf", "nice", "nsf"]


@final
class ZukoFlow(Backbone):
    """Creates a backbone of a zuko transform, which maps data → latent as a backbone does.

    Args:
        dim: The dimension D.
        transform: The transform, whose parameters are trained. Its inverse is zuko's own: a
            masked autoregressive one runs its network D times.
        context: The features C of the context that the transform is made for; 0 for none.

    References:
        Rozet et al. (2022), *Zuko: Normalizing flows in PyTorch*.

    Examples:
        >>> import torch, zuko
        >>> backbone = from_zuko(zuko.flows.NICE(3))
        >>> backbone(torch.zeros(5, 3)).shape
        torch.Size([5, 3])
    """

    def __init__(self, dim: int, transform: LazyTransform, context: int = 0) -> None:
        super().__init__(dim, context)
        self.transform = transform

    def forward(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``."""
        return cast("Tensor", self._now(context)(x)) if len(x) else x

    def inverse(
        self, z: Tensor, *, start: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``; `start` is ignored."""
        return cast("Tensor", self._now(context).inv(z)) if len(z) else z

    def log_abs_det(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        """``log |det ∂T/∂x|`` of each row of ``(N, D)``, ``(N,)``."""
        return self.forward_and_log_abs_det(x, context=context)[1]

    def forward_and_log_abs_det(
        self, x: Tensor, *, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both from one pass: ``(N, D)`` and ``(N,)``."""
        if not len(x):  # of which zuko cannot infer shapes
            return x, x.new_zeros(0)
        return cast("tuple[Tensor, Tensor]", self._now(context).call_and_ladj(x))

    def _now(self, context: Tensor | None) -> Any:  # noqa: ANN401 - zuko's own Transform, with `call_and_ladj`
        """The transform at the present values of the parameters, given a context."""
        return self.transform(context)


def from_zuko(
    flow: Flow | LazyTransform | Transform, dim: int | None = None, *, context: int = 0
) -> ZukoFlow:
    """Make a backbone of a flow or transform of zuko.

    Args:
        flow: A ``zuko.flows`` flow, a lazy transform, or a plain ``torch`` transform.
        dim: The dimension D; a flow knows its own.
        context: The features of the context that it was made for.

    Raises:
        ValueError: If `dim` is not given and `flow` does not know it.
        TypeError: If `flow` is of another type.
    """
    if isinstance(flow, Flow):
        return ZukoFlow(flow.base().event_shape[0], flow.transform, context)
    # A partial, since a lambda could not be pickled.
    is_plain = isinstance(flow, Transform)
    transform = UnconditionalTransform(partial(_same, flow)) if is_plain else flow
    if not isinstance(transform, LazyTransform):
        raise TypeError(
            f"flow must be a flow or a transform of zuko, or a torch transform, got {flow!r}"
        )
    if dim is None:
        raise ValueError(
            "a transform does not know its dimension; pass dim, the number of features"
        )
    return ZukoFlow(dim, transform, context)


def _same(transform: Transform) -> Transform:
    return transform


def nice(dim: int, *, context: int = 0, **options: Any) -> ZukoFlow:  # noqa: ANN401
    """Make a ``zuko.flows.NICE``; `options` are its arguments."""
    return from_zuko(zuko.flows.NICE(dim, context, **options), context=context)


def maf(
    dim: int,
    *,
    horizon: float | None = 1.0,
    context: int = 0,
    **options: Any,  # noqa: ANN401
) -> ZukoFlow:
    """Make a ``zuko.flows.MAF``; `options` are its arguments.

    Args:
        dim: The dimension D.
        horizon: c, where the networks see ``c asinh(x / c)``. zuko's own see x itself, which
            ``None`` gives back: scales then go to their limits as shifts grow, so that rows beyond
            about a hundred standard deviations do not return from the inverse.
        context: The features of the context.
        **options: Further arguments.

    Raises:
        ValueError: If `horizon` is not positive.
    """
    flow = zuko.flows.MAF(dim, context, **options)
    if horizon is not None:
        for layer in flow.transform.transforms:
            if isinstance(layer, MaskedAutoregressiveTransform):  # not so in one dimension
                layer.hyper.insert(0, Squash(horizon))
    return from_zuko(flow, context=context)


def nsf(dim: int, *, context: int = 0, **options: Any) -> ZukoFlow:  # noqa: ANN401
    """Make a ``zuko.flows.NSF``; `options` are its arguments."""
    return from_zuko(zuko.flows.NSF(dim, context, **options), context=context)
