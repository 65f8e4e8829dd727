"""
# A latent of one's own

A latent is a compact set, a distribution on it and a signed distance. An object of such a
class goes into a detector as the built-in ones do. Here: the half of a ball.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import make_moons

import compactflow
from compactflow import plotting
from compactflow.latents.base import Latent


class HalfBall(Latent):
    """The uniform distribution on the half of the unit ball with z_1 at least 0."""

    default_pull = "distance"

    def sample(self, n, generator=None):
        direction = self._half(self._normal(n, generator))
        share = torch.rand(n, 1, generator=generator, dtype=direction.dtype)
        return direction * share.to(direction) ** (1 / self.dim)

    def constraints(self, z):
        return torch.stack([z.norm(dim=1) - 1, -z[:, 0]], dim=1)

    def project(self, z):
        z = torch.cat([z[:, :1].clamp(min=0), z[:, 1:]], dim=1)
        return z / z.norm(dim=1, keepdim=True).clamp(min=1)

    def boundary(self, n, generator=None):
        z = self.sample(n, generator)
        z[: n // 2] = self._half(self._normal(n // 2, generator))  # the round part
        z[n // 2 :, 0] = 0  # the flat one
        return z

    def log_prob(self, z):
        d = self.dim
        volume = 0.5 * d * math.log(math.pi) - math.lgamma(0.5 * d + 1) - math.log(2)
        inside = (self.constraints(z) <= 0).all(dim=1)
        return torch.where(inside, -volume, -torch.inf).to(z)

    @staticmethod
    def _half(normal):
        unit = normal / normal.norm(dim=1, keepdim=True)
        return torch.cat([unit[:, :1].abs(), unit[:, 1:]], dim=1)


print(HalfBall(2).signed_distance(torch.tensor([[0.5, 0.0], [-0.5, 0.0], [2.0, 0.0]])))

# %%
# The kit checks what the base class promises: here that what `project` gives is the nearest
# point, that samples are uniform, and more.

from compactflow.testing import check_latent

check_latent(HalfBall)

# %%
# A detector with it: the data, and its latents in the half disc. A sharp wall keeps nearly all
# of them inside; the default's is soft, and its boundary is the set grown until it holds 95 %.

rows = make_moons(800, noise=0.08, random_state=0)[0]
detector = compactflow.build(
    latent=HalfBall,
    members=1,
    score_by="support",
    max_steps=200,
    random_state=0,
    pull_options={"sharpness": 10.0},
).fit(rows)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
left.scatter(*rows.T, s=4)
plotting.plot_decision(detector, rows, left)
plotting.plot_latent_pair(detector, rows, ax=right)
plt.show()

# %%
# [Writing a plugin](../../writing-a-plugin.md) makes it a package that others install.
