"""The torch module: preprocessing → backbone, with its latent."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from compactflow.backbones.base import Backbone
from compactflow.backbones.conditional import bind
from compactflow.flows.reach import draw_in, draw_out, log_slope
from compactflow.latents.base import Latent
from compactflow.preprocessing.base import Preprocessing
from compactflow.preprocessing.linear import Identity
from compactflow.pulls.base import Pull

__all__ = ["CompactFlow"]


@final
class CompactFlow(nn.Module):
    """A bijection from data to latent space, with the latent's support as its inlier region.

    If the backbone has P `categories`, data are judged given a context: behind the D features of
    each row are the P codes of its context, and where ``(N, D)`` is said of data below it is
    ``(N, D + P)``.

    Args:
        backbone: The invertible network, of dimension D.
        latent: The latent support and distribution, of dimension D.
        preprocessing: A fixed first layer; the identity if not given.
        scale: What the backbone's latents are multiplied by, the last layer: see
            `compactflow.detector.held_out.fit_scale`. Training knows nothing of it.

    Raises:
        ValueError: If the dimensions differ.

    Examples:
        >>> import torch
        >>> from compactflow.backbones.coupling import Coupling
        >>> from compactflow.latents.cube import Cube
        >>> flow = CompactFlow(Coupling(2, blocks=2), Cube(2))
        >>> x = torch.tensor([[0.5, -3.0]])
        >>> z = flow.encode(x)
        >>> bool(torch.allclose(flow.decode(z).float(), x, atol=1e-4))
        True
        >>> flow.signed_distance(x).shape
        torch.Size([1])
    """

    def __init__(
        self,
        backbone: Backbone,
        latent: Latent,
        preprocessing: Preprocessing | None = None,
        *,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        preprocessing = preprocessing or Identity(backbone.dim)
        dims = (backbone.dim, latent.dim, preprocessing.dim)
        if len(set(dims)) > 1:
            raise ValueError(
                "backbone, latent and preprocessing must have the same dimension, got "
                f"{dims[0]}, {dims[1]} and {dims[2]}"
            )
        self.backbone = backbone
        self.latent = latent
        self.preprocessing = preprocessing
        self.scale = scale

    @property
    def dim(self) -> int:
        """The number of features D."""
        return self.backbone.dim

    def forward(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``, in the latent's dtype: see `encode`."""
        return self.run(self.preprocess(x))

    def run(self, y: Tensor) -> Tensor:
        """Map what the first layer gives, ``(N, D + P)``, to latents ``(N, D)``."""
        given, features = bind(self.backbone, y)
        latents: Tensor = given(features)
        return self.scale * latents

    def encode(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to latents ``(N, D)``, in the latent's dtype.

        It is this module's call, hooks included, as `torch.nn.Sequential` and others make it.
        """
        return self(x)

    def decode(self, z: Tensor, codes: Tensor | None = None) -> Tensor:
        """Map latents ``(N, D)`` to data ``(N, D)``, given the codes of their context ``(N, P)``.

        Raises:
            compactflow.backbones.base.ConvergenceError: If an iterative inverse fails.
        """
        z = z.to(self.latent.like) / self.scale
        z = z if codes is None else torch.cat([z, codes.to(z)], dim=1)
        given, z = bind(self.backbone, z)
        x = self.preprocessing.inverse(draw_out(given.inverse(z)))
        return x if codes is None else torch.cat([x, codes.to(x)], dim=1)

    def preprocess(self, x: Tensor) -> Tensor:
        """Map data ``(N, D)`` to the backbone's input ``(N, D)``, in the latent's dtype.

        It is what the first layer gives, with rows beyond 1e9 drawn in, and behind it the codes.

        Raises:
            ValueError: If `x` is not ``(N, D)``.
        """
        width = self.dim + len(self.backbone.categories)
        if x.ndim != 2 or x.shape[1] != width:
            raise ValueError(f"x must have shape (N, {width}), got {tuple(x.shape)}")
        features, codes = x.tensor_split([self.dim], dim=1)
        y = draw_in(self.preprocessing(features)).to(self.latent.like)
        return torch.cat([y, codes.to(y)], dim=1) if codes.shape[1] else y

    def signed_distance(self, x: Tensor) -> Tensor:
        """Outlier score of data ``(N, D)``, ``(N,)``: negative inside the support."""
        return self.latent.signed_distance(self.encode(x))

    def log_density(self, pull: Pull, x: Tensor) -> Tensor:
        """Log-density of data ``(N, D)`` in nats, ``(N,)``, up to the pull's constant log Z.

        ``-β pull(T(x)) + log |det ∂T/∂x|``, the density of data whose latents follow
        ``exp(-β pull)/Z``, with β the pull's weight and T without the scale.
        """
        given, y = bind(self.backbone, self.preprocess(x))
        z, log_abs_det = given.forward_and_log_abs_det(y)
        x = x[:, : self.dim]
        slope = self.preprocessing.log_abs_det(x) + log_slope(self.preprocessing(x))
        return log_abs_det + slope - pull.weight * pull(z)

    def sample(
        self, n: int, generator: torch.Generator | None = None, codes: Tensor | None = None
    ) -> Tensor:
        """Draw `n` data points by decoding latent samples, ``(n, D)``, given their context."""
        return self.decode(self.scale * self.latent.sample(n, generator), codes)
