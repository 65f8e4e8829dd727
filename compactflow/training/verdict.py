"""What a training's history says of the fit, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt

import numpy as np

__all__ = ["judge_history"]

# Energy distances, as shares of √D, the scale of a distance between two latents.
_GAP = 0.1  # between held-out and training rows: chance gives less
_DRIFT = 0.05
_FALL = 0.008
_RISE = 3.0  # times its least value, of an energy distance that ran away
_PART = 0.15  # by which it falls in the second half while latents still move
_LARGEST = {"reconstruction_error": 1e-2, "conditioning": 1e4}


def judge_history(history: Mapping[str, Sequence[float]], dim: int, *, held_out: bool) -> str:
    """Say whether a training converged, still moved, ran away or had too few rows, and why.

    Args:
        history: As `compactflow.training.trainer.train` returns it.
        dim: The number of features D.
        held_out: Whether rows were held out of the training.

    Examples:
        >>> energies = [0.9, 0.3, 0.1, 0.1, 0.1, 0.1]
        >>> history = {"training_energy_distance": energies, "energy_distance": energies}
        >>> judge_history(history, 4, held_out=True)
        'Converged: the energy distance settled at 0.1, of held-out rows at 0.1.'
    """
    if not history:
        return "Not recorded: this model has no history of its training."
    own = np.array(history.get("training_energy_distance", history["energy_distance"]))
    others = np.array(history["energy_distance"])
    scale = sqrt(dim)
    bad = [
        name
        for name, values in history.items()
        if not all(map(isfinite, values)) or max(values) > _LARGEST.get(name, np.inf)
    ]
    if bad:
        return (
            f"Ran away: {bad[0].replace('_', ' ')} became too large; take a smaller learning rate."
        )
    if not held_out:
        return "Too few rows: none were held out, so nothing tells whether the fit is good."
    start, end, other = _level(own, 0.4, 0.6), _level(own, 0.8, 1), _level(others, 0.8, 1)
    if other - end > _GAP * scale and other > 2 * end:
        return (
            f"Too few rows: the energy distance of held-out rows ended at {other:.2g}, that of "
            f"training rows at {end:.2g}; fit on more rows or fewer features."
        )
    if end > _RISE * own.min() and end > _DRIFT * scale:
        return (
            f"Ran away: the energy distance rose from {own.min():.2g} to {end:.2g}; take a "
            "smaller learning rate."
        )
    if start - end > max(_PART * start, _FALL * scale):
        return (
            f"Still moving: the energy distance fell from {start:.2g} to {end:.2g} in the second "
            "half; take more steps."
        )
    return f"Converged: the energy distance settled at {end:.2g}, of held-out rows at {other:.2g}."


def _level(values: np.ndarray, start: float, stop: float) -> float:
    """The median over a part of the checks, of which it has one at least."""
    last = len(values) - 1
    return float(np.median(values[round(start * last) : round(stop * last) + 1]))
