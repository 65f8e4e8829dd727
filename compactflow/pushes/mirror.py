"""The paper's push: the pull with opposite sign, on decoded latent samples."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from compactflow.backbones.base import Backbone
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["Mirror"]


@final
class Mirror(Push):
    """Creates the push ``-mean f(T(sg T⁻¹(z̃)))`` with ``z̃`` drawn from the latent.

    Its mean gradient cancels the pull's exactly when the data's latents follow the latent
    distribution. It moves mass along the pull's gradient only, so in many dimensions it is stable
    only with small learning rates, clipping and early stopping.

    References:
        Schmier, Köthe, Straehle (2024), *Towards reliable outlier detection using invertible
        one-class networks*, Algorithm 1.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> backbone, pull = Coupling(3), Barrier(Cube(3))
        >>> z, term = Mirror()(backbone, pull, torch.randn(8, 3))
        >>> loss = pull(z).mean() + term
        >>> z.shape, term.shape
        (torch.Size([8, 3]), torch.Size([]))
    """

    entropic: ClassVar[bool] = False
    rowwise: ClassVar[bool] = True

    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Push.forward`."""
        z = backbone(x)
        return z, -pull(backbone.recode(pull.latent.sample(len(x), generator))).mean()
