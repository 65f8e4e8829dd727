"""How often new rows of a group are outside, simulated: ``python -m benchmarks.groups``.

The scores of each group are a Gumbel law of its own: shifted by a normal number, and stretched by
the exponential of another. What is compared is one boundary for all rows, and one after the scores
of each group are brought to those of all.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow.flows.contexts import Contexts

Array = NDArray[np.float64]

_NOMINAL, _NEAR = 0.05, 0.03
_NEW = 2000


def simulate(groups: int, rows: int, spread: float, seed: int) -> tuple[Array, Array]:
    """The share of new rows outside in each group, by one boundary and with groups matched.

    Args:
        groups: How many there are.
        rows: Of each, by which it is matched.
        spread: The standard deviation of the shifts, and of the logarithms of the scales.
        seed: Of all draws.
    """
    rng = np.random.default_rng(seed)
    scales, shifts = np.exp(spread * rng.normal(size=groups)), spread * rng.normal(size=groups)

    def draw(count: int) -> list[Array]:
        laws = zip(shifts, scales, strict=True)
        return [np.sort(shift + scale * rng.gumbel(size=count)) for shift, scale in laws]

    known, new = draw(rows), draw(_NEW)
    contexts = Contexts([groups], members=1).double()
    contexts.see(torch.arange(groups, dtype=torch.float64)[:, None])

    def outside() -> Array:
        each = [_bring(contexts, scores, g) for g, scores in enumerate(known)]
        level = np.quantile(np.concatenate(each), 1 - _NOMINAL)
        return np.array([(_bring(contexts, x, g) > level).mean() for g, x in enumerate(new)])

    before = outside()
    contexts.match(known, np.sort(np.concatenate(known)))
    return before, outside()


def _bring(contexts: Contexts, scores: Array, group: int) -> Array:
    codes = torch.full((len(scores), 1), float(group), dtype=torch.float64)
    return np.asarray(contexts.bring(torch.from_numpy(scores), codes))


def main() -> None:
    """Print the scatter in points, and the share of groups within 3 points."""
    print("groups rows spread   one boundary      matched")
    for groups, rows in ((6, 20), (6, 60), (48, 10), (48, 36), (48, 180)):
        for spread in (0.0, 0.1, 0.2, 0.4):
            runs = [simulate(groups, rows, spread, seed) for seed in range(240 // groups)]
            print(f"{groups:6} {rows:4} {spread:6}", end="")
            for shares in zip(*runs, strict=True):
                off = np.abs(np.array(shares) - _NOMINAL)
                scatter = 100 * np.sqrt((off**2).mean())
                print(f"   {scatter:4.1f} {(off <= _NEAR).mean():5.0%}", end="")
            print(flush=True)


if __name__ == "__main__":
    main()
