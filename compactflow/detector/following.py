"""A boundary that follows the rows which come, where what is normal drifts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_scalar

from compactflow.detector.calibration import Boundary, Calibration

__all__ = ["Following"]

Array = NDArray[np.float64]


@final
class Following:
    """Creates a boundary that the last normal rows place, batch after batch.

    It begins where the detector has it. A batch is judged by the boundary as it is. Then its rows
    take the place of the earliest among those that place it, but for the rows that are known to be
    outliers: let them be marked, as they else pull the boundary after them. Marks may come late:
    a batch is what is judged before they are known.

    While nothing drifts, a normal row is outside with a probability of 1 minus the share at most,
    if its batch is judged by normal rows alone. In a drift it is more by no more than how the row
    differs, in total variation, from those that place the boundary in the mean.

    Args:
        distance: Gives the signed distances ``(N,)`` of rows ``(N, D)``.
        known: Those of inliers that were held out of training, ``(M,)``.
        boundary: The share of inliers to keep inside.
        rows: How many rows place the boundary. It follows the faster, and the less steadily, the
            fewer there are.

    Attributes:
        shift: By how much the boundary has moved outwards, in units of the signed distance.

    Raises:
        ValueError: If the boundary is none of a share, or there are too few rows for it.

    References:
        Barber, Candès, Ramdas, Tibshirani (2023), *Conformal prediction beyond exchangeability*,
        theorem 2.

    Examples:
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = OneClassFlow(max_steps=20, members=1, random_state=0).fit(X)
        >>> following = detector.follow(rows=50)
        >>> drifting = X + np.linspace(0, 3, 400)[:, None]
        >>> outside = [(following.add(batch) > 0).mean() for batch in np.split(drifting, 20)]
        >>> bool(np.mean(outside) < 0.5 * (detector.predict(drifting) == -1).mean())
        True
    """

    def __init__(
        self,
        distance: Callable[[ArrayLike], Array],
        known: Array,
        boundary: Boundary,
        *,
        rows: int = 200,
    ) -> None:
        if isinstance(boundary, str):
            raise ValueError(
                f"boundary={boundary!r} keeps no share of the inliers inside, so it cannot follow "
                "them; set_boundary gives a level"
            )
        least = int(np.ceil(boundary / (1 - boundary) - 1e-9))
        check_scalar(rows, "rows", int, min_val=least)
        self._distance, self._share = distance, boundary
        # A sample of the known ones, as even as it can be.
        some = np.linspace(0, len(known) - 1, min(rows, len(known))).round().astype(int)
        order = np.random.default_rng(0).permutation(some)
        self._last = deque(known[order].tolist(), maxlen=rows)
        self.shift: float = 0.0

    def add(self, X: ArrayLike, outlier: ArrayLike | None = None) -> Array:
        """Judge rows, and let the boundary follow them.

        Args:
            X: Rows ``(N, D)``, later than all before.
            outlier: Which of them are known to be no normal ones, ``(N,)``.

        Returns:
            Their signed distances to the boundary as it was before, ``(N,)``.
        """
        return self.add_distances(self._distance(X), outlier)

    def add_distances(self, distances: ArrayLike, outlier: ArrayLike | None = None) -> Array:
        """The same for rows of these signed distances by the detector, ``(N,)``.

        Of rows that are seen with their past, score this with them and give the new rows' here.
        """
        found = np.asarray(distances, np.float64)
        normal = np.ones(len(found), bool) if outlier is None else ~np.asarray(outlier, bool)
        if normal.shape != found.shape:
            raise ValueError(
                f"outlier must say of each of {len(found)} rows whether it is one, got "
                f"{normal.shape}"
            )
        judged = found - self.shift
        self._last.extend(found[normal].tolist())
        last = Calibration.of(np.array(self._last), held_out=True)
        self.shift = last.threshold(self._share)
        return judged
