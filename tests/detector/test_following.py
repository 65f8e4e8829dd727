"""A boundary that follows a drifting normal."""

import numpy as np
import pytest

from compactflow.detector.following import Following

KNOWN = np.random.default_rng(0).normal(size=500)
KNOWN = KNOWN - np.quantile(KNOWN, 0.95)


def follow(distances, outlier=None, rows=100, size=10):
    """The distances to a boundary that follows batches of rows."""
    following = Following(np.asarray, KNOWN, 0.95, rows=rows)
    marks = np.zeros(len(distances), bool) if outlier is None else outlier
    parts = [slice(i, i + size) for i in range(0, len(distances), size)]
    return np.concatenate([following.add(distances[part], marks[part]) for part in parts])


def drifting(rows, seed=1):
    return np.random.default_rng(seed).choice(KNOWN, rows) + np.linspace(0, 6, rows)


def test_a_drift_is_followed_and_a_calm_is_kept():
    still = drifting(4000)
    assert (still > 0).mean() > 0.6
    assert abs((follow(still) > 0).mean() - 0.05) < 0.03
    calm = np.random.default_rng(2).choice(KNOWN, 4000)
    assert abs((follow(calm) > 0).mean() - 0.05) < 0.02


def test_marked_outliers_do_not_pull_the_boundary_after_them():
    series, outlier = drifting(2000), np.arange(2000) % 500 > 350
    series[outlier] += 4
    marked, unmarked = follow(series, outlier), follow(series)
    assert (marked[outlier] > 0).mean() > 0.9 > 0.4 > (unmarked[outlier] > 0).mean()
    assert abs((marked[~outlier] > 0).mean() - 0.05) < 0.04


def test_a_batch_is_judged_before_it_counts():
    following = Following(np.asarray, KNOWN, 0.95, rows=20)
    far = np.full(20, 9.0)
    assert (following.add(far) == 9).all()
    assert (following.add(far) <= 0).all()
    assert len(following.add(np.empty(0))) == 0


def test_what_cannot_follow_is_refused(fitted, X):
    with pytest.raises(ValueError, match="boundary='bare' keeps no share"):
        fitted(score_by="support", boundary="bare").follow()
    with pytest.raises(ValueError, match="rows == 5, must be >= 19"):
        fitted().follow(rows=5)
    following = fitted().follow(rows=30)
    with pytest.raises(ValueError, match="outlier must say of each of 9 rows"):
        following.add(X[:9], [True])
    np.testing.assert_allclose(
        fitted().follow(rows=30).add(X[:9]), fitted().signed_distance(X[:9])
    )
