"""Where decisions change sign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["threshold"]


def threshold(signed_distance: NDArray[np.float64], boundary: float | str) -> float:
    """The signed distance up to which a point counts as an inlier.

    Args:
        signed_distance: Scores of held-out inliers, ``(M,)``.
        boundary: A level in (0, 1), the share of inliers to keep, or ``"natural"`` for 0, the
            support's own boundary.

    Returns:
        For a level, the conformal quantile (Vovk, Gammerman, Shafer 2005): new inliers are inside
        with at least that probability, unless M is too small for it (M < level / (1 - level)).
    """
    if boundary == "natural":
        return 0.0
    level = min(1.0, float(boundary) * (1 + 1 / len(signed_distance)))
    quantile = float(np.quantile(signed_distance, level, method="higher"))
    # The quantile is one of the rows: rounding must not throw that row out.
    return quantile + 1e-9 * max(1.0, abs(quantile))
