"""The log-determinant's gradient by Hutchinson's trace and an inverse: free-form flows."""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import Given
from compactflow.pulls.base import Pull
from compactflow.pushes.base import Push

__all__ = ["FreeForm", "LearntFreeForm"]


@final
class FreeForm(Push):
    """Creates the push ``-v·J_T(x) sg(J_{T⁻¹}(z) v)``, v of random signs, sg the stop-gradient.

    Its mean gradient is that of ``-log |det ∂T/∂x|``, as ``∂ log |det J| = tr(J⁻¹ ∂J)`` and
    Hutchinson's estimate of a trace is ``E v·A v``. The inverse's slope comes from two inverses
    near z. It is the limit of the Stein push, taken on the map as a whole, for a small σ.

    References:
        Draxler, Sorrenson, Zimmermann, Rousselot, Köthe (2024), *Free-form flows: make any
        architecture a normalizing flow*; Hutchinson (1990), *A stochastic estimator of the trace
        of the influence matrix*.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> backbone, pull = Coupling(3), Barrier(Cube(3))
        >>> z, term = FreeForm()(backbone, pull, torch.randn(8, 3))
        >>> z.shape, term.shape
        (torch.Size([8, 3]), torch.Size([]))
    """

    entropic: ClassVar[bool] = True
    rowwise: ClassVar[bool] = True
    double_backward: ClassVar[bool] = True

    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Push.forward`."""
        x = x.detach().requires_grad_()
        z = backbone(x)
        v = _signs(z, generator)
        step = torch.finfo(z.dtype).eps ** (1 / 3)
        with torch.no_grad():
            ahead = backbone.inverse(z + step * v, start=x)
            slope = (ahead - backbone.inverse(z - step * v, start=x)) / (2 * step)
        return z, _trace(z, x, v, slope)


@final
class LearntFreeForm(Push):
    """Creates the push of `FreeForm` with the slope of a network that learns the inverse.

    So it takes no inverse of the backbone, in training, and one that iterates costs nothing more.
    Its force is right as far as the network has learned, by the squared error of ``g(T(x))``.

    Args:
        dim: The number of features D of the data, which a detector fills in.
        width: Units in each of the network's two hidden layers, at least 1.

    Raises:
        ValueError: If an argument is out of range.

    References:
        Draxler, Sorrenson, Zimmermann, Rousselot, Köthe (2024), *Free-form flows: make any
        architecture a normalizing flow*.

    Examples:
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> from compactflow.pulls.barriers import Barrier
        >>> backbone, pull = Coupling(3), Barrier(Cube(3))
        >>> z, term = LearntFreeForm(dim=3)(backbone, pull, torch.randn(8, 3))
        >>> z.shape, term.shape
        (torch.Size([8, 3]), torch.Size([]))
    """

    entropic: ClassVar[bool] = True
    double_backward: ClassVar[bool] = True

    def __init__(self, *, dim: int, width: int = 128) -> None:
        super().__init__()
        if min(dim, width) < 1:
            raise ValueError(f"dim and width must be at least 1, got {dim} and {width}")
        self.dim = dim
        last = nn.Linear(width, dim)
        # The backbones begin near the identity, and so does their inverse.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.correction = nn.Sequential(
            nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last
        )

    def forward(
        self,
        backbone: Backbone,
        pull: Pull,
        x: Tensor,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """See `Push.forward`; the term has the loss of the network.

        Raises:
            ValueError: If the rows have another number of features than `dim`, or a context.
        """
        if isinstance(backbone, Given):
            raise ValueError(
                "this push learns an inverse that sees no context; take another, such as 'stein', "
                "or a backbone that takes no context"
            )
        if x.shape[1] != self.dim:
            raise ValueError(f"push_options: dim is {self.dim}, and the data have {x.shape[1]}")
        x = x.detach().requires_grad_()
        z = backbone(x)
        v = _signs(z, generator)
        decoded, slope = self._decode(z.detach(), v)
        error = (decoded - x.detach()).square().sum(dim=1).mean()
        return z, _trace(z, x, v, slope) + error

    def _decode(self, z: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """What latents decode to, and the slope of that along v, without a graph."""
        value, slope = z, v
        for part in self.correction:
            with torch.no_grad():
                if isinstance(part, nn.Linear):
                    slope = slope @ part.weight.T
                else:
                    slope = torch.ops.aten.silu_backward(slope, value)
            value = part(value)
        return z + value, v + slope


def _signs(z: Tensor, generator: torch.Generator | None) -> Tensor:
    """Random signs, ``(N, D)``."""
    return 2 * torch.empty_like(z).bernoulli_(0.5, generator=generator).detach() - 1


def _trace(z: Tensor, x: Tensor, v: Tensor, slope: Tensor) -> Tensor:
    """``-mean v·(J_T slope)``, with a gradient for T alone."""
    (product,) = torch.autograd.grad(z, x, v, create_graph=True)
    return -(product * slope).sum(dim=1).mean()
