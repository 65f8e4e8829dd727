"""Examples run briefly, with few steps and coarse pictures: how good they are is not looked at."""

from dataclasses import replace

from compactflow.detector import fitting
from compactflow.plotting import plane

_STEPS, _GRID = 10, 40
_train = fitting.train


def _briefly(*args, options, **more):
    few = replace(options, max_steps=min(options.max_steps, _STEPS))
    return _train(*args, options=few, **more)


def shorten(patch=setattr):
    """Make all fits and pictures of this process brief, by ``setattr`` or pytest's."""
    patch(fitting, "train", _briefly)
    patch(plane, "_GRID", _GRID)
