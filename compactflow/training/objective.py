"""The loss of an ensemble: the weighed pull plus the push."""

from __future__ import annotations

import copy
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import bind
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push
from compactflow.training.stack import Stack

__all__ = ["Objective"]

# Of nn.Module's own attributes, what a state dict has or what is no state.
_NO_STATE = {"_parameters", "_buffers", "_modules", "training"}


@final
class Objective(nn.Module):
    """Creates the loss of M networks side by side: the mean of their losses.

    If the push's term is no mean over rows, each network has a copy of the push, with its own
    state.

    Args:
        pull: Draws latents into the support.
        push: Spreads them over it.
        members: M.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> from compactflow.pushes.stein import Stein
        >>> stack = Stack([Coupling(3, blocks=1) for _ in range(2)])
        >>> objective = Objective(Barrier(Cube(3)), Stein(), members=2)
        >>> objective(stack, torch.randn(8, 3), torch.Generator()).backward()
    """

    def __init__(self, pull: Pull, push: Push, members: int) -> None:
        super().__init__()
        self.pull = pull
        copies = 1 if push.rowwise else members
        self.pushes = nn.ModuleList([push, *(copy.deepcopy(push) for _ in range(copies - 1))])
        self._first = _attributes(self)

    @property
    def push(self) -> Push:
        """The push, of the first network if each has its own."""
        return cast("Push", self.pushes[0])

    def forward(self, stack: Stack, x: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of one batch of preprocessed rows in turn, ``(N M, D)``, a scalar.

        Behind the rows is their context, if the networks take one: ``(N M, D + C)``.
        """
        pull, push = self.terms(stack, x, generator)
        return pull + push

    def terms(self, stack: Stack, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The two parts of the loss: that of the pull, weighed, and that of the push."""
        if self.push.rowwise:
            z, term = _called(self.push, *_bound(stack, self.pull, x), generator)
            return self._weighed(z), term
        pulls, terms = [], []
        for push, network, rows in zip(self.pushes, stack.singles(), stack.split(x), strict=True):
            z, term = _called(push, *_bound(network, self.pull, rows), generator)
            pulls.append(self._weighed(z))
            terms.append(term)
        return torch.stack(pulls).mean(), torch.stack(terms).mean()

    def trained(self) -> list[Tensor]:
        """The parameters of pull, latent and push that train with the networks."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def check_gradients(self) -> None:
        """Check after a backward pass that every parameter which is to train has a gradient.

        Raises:
            ValueError: If one has none, so that it would stay as it is without a word.
        """
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and parameter.grad is None:
                raise ValueError(
                    f"the loss does not depend on the parameter {_place(self, name)}, which would "
                    "never train: use it where the loss is made, or set its requires_grad to False"
                )

    def check_state(self) -> None:
        """Check that training has changed nothing that a checkpoint does not keep.

        Raises:
            ValueError: If an attribute has changed that is neither parameter nor buffer.
        """
        for name, value in _attributes(self).items():
            if self._first.get(name) != value:
                raise ValueError(
                    f"training changes {_place(self, name)}, which a checkpoint does not keep: "
                    "make it a tensor and register it by register_buffer"
                )

    def _weighed(self, z: Tensor) -> Tensor:
        if not self.push.pulled:
            return z.new_zeros(())
        return self.pull.weight * cast("Tensor", self.pull(z)).mean()


def _called(
    push: nn.Module, backbone: Backbone, pull: Pull, x: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What a push gives for rows.

    Raises:
        ValueError: If that is not the latents of the rows and a scalar.
    """
    found = push(backbone, pull, x, generator)
    shapes = [getattr(part, "shape", None) for part in found] if type(found) is tuple else []
    if shapes != [x.shape, ()]:
        got = f"{type(found).__name__}{' of ' + ', '.join(map(_shape, shapes)) if shapes else ''}"
        raise ValueError(
            f"{type(push).__name__}.forward must return the latents backbone(x), "
            f"{_shape(x.shape)} here, and the term, a scalar: got a {got}"
        )
    z, term = found
    return z, term


def _shape(shape: torch.Size | None) -> str:
    return "no tensor" if shape is None else f"shape {tuple(shape)}"


def _attributes(objective: nn.Module) -> dict[str, object]:
    """The plain values among the attributes of all parts, by their path."""
    return {
        f"{path}.{name}": value
        for path, module in objective.named_modules()
        for name, value in vars(module).items()
        if name not in _NO_STATE and isinstance(value, bool | int | float | str | None)
    }


def _place(objective: nn.Module, path: str) -> str:
    """Whose attribute a path is, for a message."""
    owner: Any = objective
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return f"{name!r} of {type(owner).__name__}"


def _bound(backbone: Backbone, pull: Pull, rows: Tensor) -> tuple[Backbone, Pull, Tensor]:
    """What a push gets: a backbone that is given the context behind the rows, if any."""
    given, x = bind(backbone, rows)
    return given, pull, x
