"""The interface of a push."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.pulls.base import Pull

__all__ = ["Push"]


class Push(nn.Module, ABC):
    """A loss term that spreads the latents, against the pull that gathers them.

    It sees the network that maps preprocessed rows to latents, and nothing before or after. The
    trainer adds the pull to its term, weighed, if it is `pulled`. It may have parameters, buffers
    and networks of its own: they train with the flow, and a checkpoint keeps them. Other
    attributes must not change in training. A constructor with an argument ``dim`` gets the number
    of features D by it.

    Attributes:
        entropic: Whether it is the force that maximises entropy, so that the latents settle at
            ``exp(-pull)/Z``; otherwise it compares with samples of the latent distribution.
        pulled: Whether the pull counts beside its term. A push that tells each latent where to go
            needs none, and serves supports of any shape.
        rowwise: Whether the term is a mean over the rows of a value that each row has by itself.
            Such a push is called once for all flows of an ensemble: the batch then has rows of
            all, and the backbone takes each row through its own flow's network. Of any other push
            each flow has a copy, with a state of its own, that sees its rows alone.
        double_backward: Whether it differentiates a gradient of the backbone (``create_graph``).
            Compiled passes have no such gradient, so a fit with ``compile=True`` is not compiled.

    Examples:
        >>> class Spread(Push):
        ...     entropic = False
        ...
        ...     def forward(self, backbone, pull, x, generator=None):
        ...         z = backbone(x)
        ...         return z, -torch.pdist(z).mean()
        >>> Spread.rowwise
        False
    """

    entropic: ClassVar[bool]
    pulled: ClassVar[bool] = True
    rowwise: ClassVar[bool] = False
    double_backward: ClassVar[bool] = False

    def __call__(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> Any:  # noqa: ANN401
        """Call `forward`, and say what it was given where it asks for anything else.

        Raises:
            ValueError: If it asks backbone, pull or rows for what they have not.
        """
        try:
            return super().__call__(backbone, pull, x, generator)
        except AttributeError as error:
            given = {"backbone": backbone, "pull": pull, "rows": x}
            asked = [word for word, thing in given.items() if thing is error.obj]
            if not asked:
                raise
            raise ValueError(
                f"{type(self).__name__} asks the {asked[0]} for {error.name!r}, which it has not: "
                "a push gets the network alone, which maps preprocessed rows to latents by "
                "backbone(x) and back by backbone.inverse(z); the pull, of which pull.latent is "
                "the latent; and preprocessed rows, a tensor"
            ) from error

    @abstractmethod
    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode one batch, with the loss term.

        Args:
            backbone: The network in training, from preprocessed rows to latents.
            pull: The pull in use; its latent is ``pull.latent``.
            x: Preprocessed rows, ``(N, D)``.
            generator: Where to draw random numbers from.

        Returns:
            The latents ``backbone(x)`` with their graph, ``(N, D)``, and the term, a scalar.
        """
