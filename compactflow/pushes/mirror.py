"""The paper's push: the pull with opposite sign, on decoded latent samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from torch import Tensor

from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

if TYPE_CHECKING:
    from compactflow.flow import CompactFlow

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
    """

    entropic: ClassVar[bool] = False

    def __call__(self, flow: CompactFlow, x: Tensor, z: Tensor, pull: Pull) -> Tensor:
        """The loss term of one batch ``(N, D)``, a scalar."""
        return -pull(flow.backbone.recode(flow.latent.sample(len(x)))).mean()
