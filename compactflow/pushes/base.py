"""The interface of a push."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from compactflow.pulls.base import Pull

if TYPE_CHECKING:
    from compactflow.flow import CompactFlow

__all__ = ["Push"]


class Push(ABC):
    """A loss term that spreads the latents, against the pull that gathers them.

    Attributes:
        entropic: Whether it is the force that maximises entropy, so that the latents settle at
            ``exp(-pull)/Z``; otherwise it compares with samples of the latent distribution.
    """

    entropic: ClassVar[bool]

    @abstractmethod
    def __call__(self, flow: CompactFlow, x: Tensor, z: Tensor, pull: Pull) -> Tensor:
        """The loss term of one batch.

        Args:
            flow: The flow in training; a push uses ``flow.backbone`` and ``flow.latent``.
            x: Preprocessed data, the backbone's input, ``(N, D)``.
            z: ``flow.backbone(x)`` with its graph, ``(N, D)``.
            pull: The pull in use.

        Returns:
            A scalar.
        """

    def loss(self, flow: CompactFlow, x: Tensor, pull: Pull) -> Tensor:
        """The training loss of one batch ``(N, D)``: the weighted pull and this push, a scalar."""
        z = flow.backbone(x)
        return pull.weight * pull(z).mean() + self(flow, x, z, pull)
