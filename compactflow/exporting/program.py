"""The whole detector as one program of torch: from raw rows to scores, decisions and p-values."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch.export import Dim, ExportedProgram

from compactflow.devices import fresh_defaults
from compactflow.flows.ensemble import Ensemble
from compactflow.text import cause_of

__all__ = ["PLAIN", "ExportError", "quietly", "trace"]

Array = NDArray[np.float64]

_EXAMPLE_ROWS = 3


class ExportError(ValueError):
    """A detector, or the component that the message names, has no form as a graph."""


def trace(ensemble: Ensemble, known: Array | None) -> ExportedProgram:
    """Trace a fitted ensemble on the CPU, in float64.

    The program takes rows ``X``, ``(N, D)`` of any N ≥ 1, and a `threshold`, a scalar, and gives
    the scores, ``(N,)``, their mean over the flows minus the threshold; whether they are above 0,
    ``(N,)``; and the conformal p-values, ``(N,)``, if there are known scores.

    Args:
        ensemble: The fitted flows.
        known: The scores of held-out inliers, ``(M,)``, ascending; or ``None``.

    Raises:
        ExportError: If a component cannot be traced; the message names it.
    """
    module = _Detector(ensemble, known).eval().requires_grad_(False)
    example = torch.zeros(_EXAMPLE_ROWS, ensemble.dim, dtype=torch.float64)
    threshold = torch.zeros((), dtype=torch.float64)
    rows = {0: Dim("rows", min=1)}
    with quietly():
        try:
            return torch.export.export(
                module, (example, threshold), dynamic_shapes={"X": rows, "threshold": None}
            )
        except Exception as error:  # whatever a component does that a graph cannot
            raise ExportError(
                f"{_culprit(ensemble, example)} cannot be exported: {cause_of(error)}"
            ) from error


@final
class _Detector(nn.Module):
    """What `trace` describes."""

    known: Tensor | None

    def __init__(self, ensemble: Ensemble, known: Array | None) -> None:
        super().__init__()
        self.ensemble = ensemble.at(0.0)
        self.register_buffer("known", None if known is None else torch.from_numpy(known.copy()))

    def forward(self, X: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        raw = self.ensemble(X)
        score = raw - threshold
        outputs = (score, score > 0)
        if self.known is None:
            return outputs
        slack = self.ensemble.rounding * raw.abs().clamp(min=1)
        below = torch.searchsorted(self.known, raw - slack).to(raw)
        rows = len(self.known) + 1.0
        return (*outputs, (below - rows) / -rows)


def _search(ends: Tensor, values: Tensor, **_: Any) -> Tensor:  # noqa: ANN401
    """`torch.searchsorted` by halving, of operations that every runtime has.

    Args:
        ends: Ascending, ``(..., K)``.
        values: ``(..., N)``.
    """
    size = ends.shape[-1]
    found = torch.zeros_like(values, dtype=torch.int64)
    for power in reversed(range(size.bit_length())):
        last = found + (2**power - 1)  # of the next so many ends
        inside = last.clamp(max=size - 1)
        end = ends[inside] if ends.ndim == 1 else ends.gather(-1, inside)
        found = torch.where((last < size) & (end < values), last + 1, found)
    return found


def _softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """`torch.nn.functional.softplus`, whose operator some runtimes have in float32 only."""
    soft = torch.log1p(torch.exp(-(beta * x).abs())) / beta + x.clamp(min=0)
    return torch.where(beta * x > threshold, x, soft)


def _filled(value: Any, size: Sequence[int], dtype: torch.dtype) -> Tensor:  # noqa: ANN401
    """A tensor of one value, by a constant in its own precision; ONNX's go through float32."""
    if not isinstance(value, float):
        return NotImplemented
    return torch.scalar_tensor(value, dtype=dtype).expand(size)


def _full_like(x: Tensor, value: Any, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:  # noqa: ANN401
    return _filled(value, x.shape, dtype or x.dtype)


def _new_full(
    x: Tensor,
    size: Sequence[int],
    value: Any,  # noqa: ANN401
    *,
    dtype: torch.dtype | None = None,
    **_: Any,  # noqa: ANN401
) -> Tensor:
    return _filled(value, size, dtype or x.dtype)


def _full(
    size: Sequence[int],
    value: Any,  # noqa: ANN401
    *,
    dtype: torch.dtype | None = None,
    **_: Any,  # noqa: ANN401
) -> Tensor:
    return _filled(value, size, dtype or torch.get_default_dtype())


def _fill(x: Tensor, value: Any) -> Tensor:  # noqa: ANN401
    return _filled(value, x.shape, x.dtype)


def _power(base: Any, x: Tensor) -> Tensor:  # noqa: ANN401
    """`torch.pow` of a constant, in its own precision."""
    if not x.is_floating_point():
        return NotImplemented
    return torch.pow(torch.scalar_tensor(base, dtype=x.dtype), x)


def _masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:  # noqa: ANN401
    """`torch.masked_fill` by a constant in its own precision, as `_filled`."""
    if not isinstance(value, float):
        return NotImplemented
    return torch.where(mask, torch.scalar_tensor(value, dtype=x.dtype), x)


def _exact(*factors: float) -> bool:
    """Whether ONNX has such factors of an operation, which it keeps in float32, as they are."""
    return all(factor == float(np.float32(factor)) for factor in factors)


def _add(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
    return NotImplemented if _exact(alpha) else x + alpha * y


def _sub(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
    return NotImplemented if _exact(alpha) else x - alpha * y


def _rsub(x: Tensor, y: Any, alpha: float = 1) -> Tensor:  # noqa: ANN401
    return y + -alpha * x


def _addmm(x: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return NotImplemented if _exact(beta, alpha) else beta * x + alpha * (a @ b)


_ATEN = torch.ops.aten

PLAIN: dict[Any, Callable[..., Tensor]] = {
    **get_decompositions(
        [
            _ATEN.addcdiv.default,
            _ATEN.addcmul.default,
            _ATEN.celu.default,
            _ATEN.elu.default,
            _ATEN.hardsigmoid.default,
            _ATEN.hardswish.default,
            _ATEN.hardtanh.default,
            _ATEN.leaky_relu.default,
            _ATEN.selu.default,
        ]
    ),
    _ATEN.add.Tensor: _add,
    _ATEN.addmm.default: _addmm,
    _ATEN.baddbmm.default: _addmm,
    _ATEN.fill.Scalar: _fill,
    _ATEN.full.default: _full,
    _ATEN.full_like.default: _full_like,
    _ATEN.masked_fill.Scalar: _masked_fill,
    _ATEN.new_full.default: _new_full,
    _ATEN.pow.Scalar: _power,
    _ATEN.rsub.Scalar: _rsub,
    _ATEN.searchsorted.Tensor: _search,
    _ATEN.softplus.default: _softplus,
    _ATEN.sub.Tensor: _sub,
}
"""What runtimes lack in float64, or have with constants of float32, in terms of what they have."""


def _culprit(ensemble: Ensemble, x: Tensor) -> str:
    """Which component it is that cannot be traced."""
    latent = ensemble.latent
    for what, part in (
        ("the first layer", ensemble.layers[0]),
        ("the backbone", ensemble.networks[0]),
        ("the latent", _Method(latent.signed_distance)),
    ):
        try:
            torch.export.export(part, (x,), dynamic_shapes=({0: Dim("rows", min=1)},))
        except Exception:
            named = getattr(part, "named", type(part).__name__)
            return f"{what} {named}"
    return "this detector"


@final
class _Method(nn.Module):
    """A method of a module as a module."""

    def __init__(self, method: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.owner = method.__self__
        self.named = type(method.__self__).__name__
        self._name = method.__name__

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = getattr(self.owner, self._name)(x)
        return value


@contextmanager
def quietly() -> Iterator[None]:
    """Without what torch says of its own insides."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), fresh_defaults():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
