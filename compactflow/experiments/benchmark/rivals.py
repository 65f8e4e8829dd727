"""Two recent detectors written from their papers, each with one setting for all data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from compactflow.randomness import drawing_from, seeded

__all__ = ["contraction_matching", "diffusion_time"]

Array = NDArray[np.float64]
Score = Callable[[Array], Array]

_STEPS, _BATCH, _WIDTH = 2000, 256, 256
_TIMES, _BINS = 300, 7  # of the diffusion; its noise grows linearly, as in Ho et al. (2020)
_FREQUENCIES = 16


def diffusion_time(train: Array, seed: int) -> Score:
    """DTE-C: a network guesses how much noise a row has had; the score is the expected bin.

    Args:
        train: Inliers, ``(N, D)``.
        seed: Of the weights, the rows and the noise.

    References:
        Livernoche, Jain, Hezaveh, Ravanbakhsh (2024), *On diffusion modeling for anomaly
        detection*.
    """
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.01, _TIMES), dim=0)

    def loss(network: nn.Module, rows: Tensor) -> Tensor:
        times = torch.randint(_TIMES, (len(rows),))
        share = kept[times, None]
        noisy = share.sqrt() * rows + (1 - share).sqrt() * torch.randn_like(rows)
        return functional.cross_entropy(network(noisy), times * _BINS // _TIMES)

    network = _train(train, seed, train.shape[1], _BINS, loss)
    bins = torch.arange(_BINS, dtype=torch.float32)
    return _scoring(lambda rows: network(rows).softmax(dim=1) @ bins)


def contraction_matching(train: Array, seed: int) -> Score:
    """TCCM: a network learns the way from a row to the origin; the score is its error at time 1.

    Args:
        train: Inliers, ``(N, D)``.
        seed: Of the weights, the rows and the times.

    References:
        Li, Huang, Zhu, van Leeuwen et al. (2025), *Scalable, explainable and provably robust
        anomaly detection with one-step flow matching*.
    """
    frequencies = torch.pi * torch.arange(1, _FREQUENCIES + 1)

    def timed(rows: Tensor, times: Tensor) -> Tensor:
        angles = times * frequencies
        return torch.cat([rows, angles.sin(), angles.cos()], dim=1)

    def loss(network: nn.Module, rows: Tensor) -> Tensor:
        return (network(timed(rows, torch.rand(len(rows), 1))) + rows).square().mean()

    dim = train.shape[1]
    network = _train(train, seed, dim + 2 * _FREQUENCIES, dim, loss)
    return _scoring(
        lambda rows: (network(timed(rows, torch.ones(len(rows), 1))) + rows).norm(dim=1)
    )


def _train(
    train: Array,
    seed: int,
    inputs: int,
    outputs: int,
    loss: Callable[[nn.Module, Tensor], Tensor],
) -> nn.Module:
    rows = torch.from_numpy(train).float()
    with drawing_from(seeded(seed)):
        network = nn.Sequential(
            *(nn.Linear(inputs, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH), nn.ReLU()),
            nn.Linear(_WIDTH, outputs),
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            torch.autograd.backward(loss(network, rows[torch.randint(len(rows), (_BATCH,))]))
            optimizer.step()
    return network.eval()


def _scoring(score: Callable[[Tensor], Tensor]) -> Score:
    @torch.no_grad()
    def scoring(rows: Array) -> Array:
        scores: Array = score(torch.from_numpy(rows).float()).double().numpy()
        return scores

    return scoring
