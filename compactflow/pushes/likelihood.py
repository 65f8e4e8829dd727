"""The log-determinant as a push: the maximum-likelihood baseline."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["Likelihood"]


@final
class Likelihood(Push):
    """Creates the push ``-mean log |det ∂T/∂x|``.

    Together with a pull it is the negative log-likelihood under the latent density
    ``exp(-pull)/Z``: a normal latent with the squared pull is the ordinary normalizing flow. It
    is slow for a backbone without a log-det of its own; the other pushes need none.

    References:
        Dinh, Sohl-Dickstein, Bengio (2017), *Density estimation using Real NVP*, eq. 2.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> backbone, pull = Coupling(3), Barrier(Cube(3))
        >>> z, term = Likelihood()(backbone, pull, torch.randn(8, 3))
        >>> loss = pull(z).mean() + term
        >>> z.shape, term.shape
        (torch.Size([8, 3]), torch.Size([]))
    """

    entropic: ClassVar[bool] = True
    rowwise: ClassVar[bool] = True

    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Push.forward`; one pass gives both."""
        z, log_abs_det = backbone.forward_and_log_abs_det(x)
        return z, -log_abs_det.mean()
