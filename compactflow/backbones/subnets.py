"""The networks inside coupling blocks, with gradients by hand from activations that are kept."""

from __future__ import annotations

from typing import Literal, TypeAlias, final

import torch
from torch import Tensor, nn

from compactflow.backbones.squashing import soft_clamp, squash

__all__ = ["Activation", "Constant", "Subnet"]

Activation: TypeAlias = Literal["tanh", "relu"]
Kept: TypeAlias = tuple[Tensor, ...]


@final
class Subnet(nn.Sequential):
    """Creates a network of one hidden layer, or M of them side by side.

    Args:
        inputs: Number of inputs.
        width: Units of the hidden layer.
        outputs: Number of outputs.
        activation: Of the hidden units.
        horizon: c, where the network sees ``c asinh(x / c)``, or ``None``.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        *,
        activation: Activation,
        horizon: float | None,
    ) -> None:
        units = _Tanh() if activation == "tanh" else nn.ReLU()
        super().__init__(nn.Linear(inputs, width), units, nn.Linear(width, outputs))
        self.smooth = activation == "tanh"
        self.horizon = horizon

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for ``(..., N, inputs)``, ``(..., N, outputs)``."""
        return self.evaluate(x)[0]

    def evaluate(self, x: Tensor, unit: float = 1.0) -> tuple[Tensor, Kept]:
        """The outputs, times a unit, and what `vjp` needs."""
        seen = x if self.horizon is None else squash(x, self.horizon)
        hidden: Tensor = self[1](_linear(self._layer(0), seen))
        return _linear(self._layer(2), hidden, unit), (x, seen, hidden)

    def vjp(
        self, kept: Kept, gradient: Tensor, *, wanted: bool = True
    ) -> tuple[Tensor, list[Tensor]]:
        """What a gradient at the outputs is at the inputs and for each of the parameters.

        That at the inputs is empty if it is not `wanted`.
        """
        x, seen, hidden = kept
        grad_hidden = gradient @ self._layer(2).weight
        if self.smooth:
            grad_hidden.addcmul_(grad_hidden, hidden.square(), value=-1)
        else:
            grad_hidden = torch.ops.aten.threshold_backward(grad_hidden, hidden, 0)
        grad_x = x[:0]
        if wanted:
            # Of two orders of a product, that whose result has the longer rows is far faster.
            grad_x = (self._layer(0).weight.mT @ grad_hidden.mT).mT
            if self.horizon is not None:
                grad_x /= torch.hypot(x / self.horizon, x.new_ones(()))
        return grad_x, [
            (seen.mT @ grad_hidden).mT,
            grad_hidden.sum(dim=-2),
            gradient.mT @ hidden,
            gradient.sum(dim=-2),
        ]

    def folded(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Matrices and biases for rows from the left, of both layers.

        Between them a ``"tanh"`` is a logistic function, ``tanh(h) = 1 - 2 / (1 + exp(2 h))``,
        whose factors are in the matrices.
        """
        one, two = self._layer(0), self._layer(2)
        enter, predict = one.weight.mT, two.weight.mT
        if not self.smooth:
            return enter, one.bias, predict, two.bias
        return -2 * enter, -2 * one.bias, -2 * predict, two.bias + predict.sum(dim=-2)

    def _layer(self, index: int) -> nn.Linear:
        layer = self[index]
        assert isinstance(layer, nn.Linear)
        return layer


@final
class _Tanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return soft_clamp(x, 1)


@final
class Constant(nn.Module):
    """Creates a network without inputs, whose outputs are free parameters."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs for each row of ``(..., N, 0)``, ``(..., N, outputs)``."""
        return self.evaluate(x)[0]

    def evaluate(self, x: Tensor, unit: float = 1.0) -> tuple[Tensor, Kept]:
        """The outputs, times a unit, and what `vjp` needs."""
        return (unit * self.values).unsqueeze(-2).expand(*x.shape[:-1], -1), (x,)

    def vjp(
        self, kept: Kept, gradient: Tensor, *, wanted: bool = True
    ) -> tuple[Tensor, list[Tensor]]:
        """What a gradient at the outputs is at the inputs and for each of the parameters."""
        return torch.zeros_like(kept[0]), [gradient.sum(dim=-2)]


def _linear(layer: nn.Linear, x: Tensor, unit: float = 1.0) -> Tensor:
    """What a layer, or M of them, gives, times a unit."""
    if layer.weight.ndim == 3:
        bias = layer.bias.unsqueeze(1)
        return torch.baddbmm(bias, x, layer.weight.mT, beta=unit, alpha=unit)
    if unit != 1:
        return torch.addmm(layer.bias, x, layer.weight.mT, beta=unit, alpha=unit)
    outputs: Tensor = layer(x)
    return outputs
