"""The names of features: doing without them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compactflow.estimator import OneClassFlow

__all__ = ["without_names"]


def without_names(detector: OneClassFlow) -> OneClassFlow:
    """The detector, for arrays: it does not warn that they have no column names."""
    detector = copy.copy(detector)
    detector.__dict__.pop("feature_names_in_", None)
    return detector
