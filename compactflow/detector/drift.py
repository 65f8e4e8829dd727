"""Whether new rows still come from where the training rows came from, watched row by row."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from math import log
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Martingale", "Monitor", "Ranks"]

Array = NDArray[np.float64]


@final
class Martingale:
    """Creates a running bet against p-values being uniform: the evidence that something changed.

    A stake of 1 waits. At the k-th p-value ``1 / (k (k + 1))`` of it is put, in equal parts, on
    three bets, which every p-value from then on multiplies by a density of (0, 1): that p is
    rather small, ``1.5 - p``, or rather large, ``0.5 + p``, or that some are tiny,
    ``p^(-3/4) / 4``. So the stake never falls below ``1 / (k + 1)``, and a change is seen after a
    long calm too.

    While p-values are uniform and independent of the earlier ones, as those of `Ranks` are, the
    sum of the stakes is a martingale. By Ville's inequality it *ever* reaches 1/α with probability
    at most α, however long it is watched.

    Attributes:
        log_value: Logarithm of all stakes together, now.
        log_peak: The largest that it was.
        count: How many p-values there were.

    Examples:
        >>> calm, moved = Martingale(), Martingale()
        >>> calm.add([0.2, 0.9, 0.5, 0.7]).ever(0.01)
        False
        >>> moved.add([0.004, 0.01, 0.002, 0.03]).ever(0.01)
        True

    References:
        Ville (1939), *Étude critique de la notion de collectif*; Vovk, Nouretdinov, Gammerman
        (2003), *Testing exchangeability on-line* (bets on p-values).
    """

    def __init__(self) -> None:
        self.log_value: float = 0.0
        self.log_peak: float = 0.0
        self.count: int = 0
        self._shares = np.array([1.0, 0.0, 0.0, 0.0])  # what waits, and the bets

    def add(self, p: Iterable[float]) -> Martingale:
        """Bet on p-values, in their order.

        Args:
            p: In (0, 1].

        Raises:
            ValueError: If one is not; those before it count.
        """
        for each in p:
            if not 0 < each <= 1:
                raise ValueError(f"p-values must be in (0, 1], got {each}")
            self.count += 1
            put = self._shares[0] / (self.count + 1)
            shares = self._shares + put * np.array([-1, 1 / 3, 1 / 3, 1 / 3])
            shares *= (1.0, 1.5 - each, 0.5 + each, 0.25 * each**-0.75)
            gain = shares.sum()
            self._shares = shares / gain
            self.log_value += log(gain)
            self.log_peak = max(self.log_peak, self.log_value)
        return self

    def ever(self, alpha: float) -> bool:
        """Whether the stake has ever reached 1/α; if nothing changes, of probability ≤ α."""
        return self.log_peak >= -log(alpha)


@final
class Ranks:
    """Creates p-values of scores that come one by one: exactly uniform while nothing changes.

    The p-value of a score is its rank among M known scores and itself, from the top, with ties
    settled by chance. Then one of these ``M + 1``, drawn by chance, is forgotten. So the known
    scores tell nothing of the ranks before. If all scores, known and new, are drawn independently
    from one distribution, the p-values are independent and uniform on (0, 1), whatever M is. (With
    known scores that stay, as in `Calibration.p_values`, they are not: each new row is compared
    with the same sample, whose chance errors add up.) Memory is constant.

    Args:
        scores: The known scores, ``(M,)``.
        seed: Of the chance.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> p = Ranks(rng.normal(size=500), seed=1).add(rng.normal(size=1000))
        >>> bool(abs(p.mean() - 0.5) < 0.05)
        True

    References:
        Vovk, Nouretdinov, Gammerman (2003), *Testing exchangeability on-line*, where the known
        scores grow in number.
    """

    def __init__(self, scores: Array, *, seed: int = 0) -> None:
        self._known: list[float] = np.sort(scores).tolist()
        self._rng = np.random.default_rng(seed)

    def add(self, scores: Array) -> Array:
        """The p-values of new scores ``(N,)``, in their order, ``(N,)``."""
        known, most = self._known, len(self._known) + 1
        p = np.empty(len(scores))
        chance = 1 - self._rng.random(len(scores))  # in (0, 1]
        forgotten = self._rng.integers(most, size=len(scores))
        for i, score in enumerate(scores.tolist()):
            above = len(known) - bisect_right(known, score)
            equal = most - above - bisect_left(known, score)
            p[i] = (above + chance[i] * equal) / most
            insort(known, score)
            del known[forgotten[i]]
        return p


@final
class Monitor:
    """Creates a watch over rows that come one after the other: are they still like the inliers?

    Args:
        score: Gives the scores ``(N,)`` of rows ``(N, D)``.
        known: The scores of inliers that were held out of training, ``(M,)``.
        seed: Of the chance that settles ties: see `Ranks`.

    Attributes:
        martingale: The evidence so far.

    Examples:
        >>> import numpy as np
        >>> from compactflow import OneClassFlow
        >>> X = np.random.default_rng(0).normal(size=(400, 2))
        >>> detector = OneClassFlow(max_steps=20, members=1, random_state=0).fit(X)
        >>> monitor = detector.monitor()
        >>> monitor.add(X[:50]).drifted(alpha=0.01), monitor.add(X[:50] + 2).drifted(alpha=0.01)
        (False, True)
    """

    def __init__(
        self, score: Callable[[ArrayLike], Array], known: Array, *, seed: int = 0
    ) -> None:
        self._score = score
        self._ranks = Ranks(known, seed=seed)
        self.martingale: Martingale = Martingale()

    def add(self, X: ArrayLike) -> Monitor:
        """Watch rows ``(N, D)``, in their order."""
        return self.add_scores(self._score(X))

    def add_scores(self, scores: ArrayLike) -> Monitor:
        """Watch rows by their scores ``(N,)``, in their order, whatever the boundary."""
        self.martingale.add(self._ranks.add(np.asarray(scores, np.float64)))
        return self

    def drifted(self, alpha: float = 0.01) -> bool:
        """Whether rows have ever been unlike the inliers, with at most α a false alarm.

        The bound is over the whole watch, however long: see `Martingale`. It holds exactly for a
        detector of one flow, and about for an ensemble: see `Calibration.p_values`.
        """
        return self.martingale.ever(alpha)
