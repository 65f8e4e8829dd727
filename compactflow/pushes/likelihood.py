"""The log-determinant as a push: the maximum-likelihood baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

from torch import Tensor

from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

if TYPE_CHECKING:
    from compactflow.flow import CompactFlow

__all__ = ["Likelihood"]


@final
class Likelihood(Push):
    """Creates the push ``-mean log |det ∂T/∂x|``.

    Together with a pull it is the negative log-likelihood under the latent density
    ``exp(-pull)/Z``: a normal latent with the squared pull is the ordinary normalizing flow. It
    is slow for a backbone without a log-det of its own; the other pushes need none.

    References:
        Dinh, Sohl-Dickstein, Bengio (2017), *Density estimation using Real NVP*, eq. 2.
    """

    entropic: ClassVar[bool] = True

    def __call__(self, flow: CompactFlow, x: Tensor, z: Tensor, pull: Pull) -> Tensor:
        """The loss term of one batch ``(N, D)``, a scalar."""
        return -flow.backbone.log_abs_det(x).mean()

    def loss(self, flow: CompactFlow, x: Tensor, pull: Pull) -> Tensor:
        """The negative log-likelihood of one batch ``(N, D)``, from one pass, a scalar."""
        z, log_abs_det = flow.backbone.forward_and_log_abs_det(x)
        return (pull.weight * pull(z) - log_abs_det).mean()
