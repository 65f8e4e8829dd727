"""The conformance kit: checks that a component keeps the promises of its interface.

Every built-in passes it, and so should every plugin's component::

    from compactflow.testing import parametrize

    @parametrize("latent", "cube")
    def test_cube(check):
        check()

The functions `check_latent`, `check_backbone`, `check_pull`, `check_push`, `check_preprocessing`,
`check_score` and `check_engine` do the same without pytest and return the results. Checks draw
random numbers, but the same ones in each run, and leave torch's random state as it was.
"""

from __future__ import annotations

from compactflow.pushes.theory import convexity_violation, outward_violation
from compactflow.testing.kit import (
    check_backbone,
    check_engine,
    check_latent,
    check_names,
    check_preprocessing,
    check_pull,
    check_push,
    check_score,
    parametrize,
)
from compactflow.testing.results import CheckResult

__all__ = [
    "CheckResult",
    "check_backbone",
    "check_engine",
    "check_latent",
    "check_names",
    "check_preprocessing",
    "check_pull",
    "check_push",
    "check_score",
    "convexity_violation",
    "outward_violation",
    "parametrize",
]
