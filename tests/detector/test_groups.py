"""Rows of one group are held out together."""

import numpy as np
import pytest

import compactflow

pytestmark = pytest.mark.usefixtures("small_default")

SMALL = {"max_steps": 1, "members": 2, "random_state": 0}


def alike(groups, rows, seed=0):
    """Groups of nearly equal rows, and the group of each, in random order."""
    rng = np.random.default_rng(seed)
    X = np.repeat(rng.normal(size=(groups, 3)), rows, axis=0)
    X += 0.01 * rng.normal(size=X.shape)
    order = rng.permutation(len(X))
    return X[order], np.repeat([f"patient {g}" for g in range(groups)], rows)[order]


def test_new_groups_are_inside_as_often_as_the_boundary_says():
    X, groups = alike(40, 10)
    new, _ = alike(40, 10, seed=1)
    apart = compactflow.build(**SMALL, boundary=0.8).fit(X, groups=groups)
    mixed = compactflow.build(**SMALL, boundary=0.8).fit(X)
    assert (mixed.predict(new) == 1).mean() < 0.3  # the held-out rows have twins in training
    assert (apart.predict(new) == 1).mean() > 0.6


def test_a_group_of_which_some_rows_trained_places_no_boundary():
    X, groups = alike(50, 7)
    detector = compactflow.build(**SMALL).fit(X, groups=groups)
    assert len(detector.calibration_.scores) == 35  # five whole groups, of 40 rows held out


def test_groups_that_are_no_groups_are_refused():
    X, groups = alike(2, 50)
    with pytest.raises(ValueError, match="groups must have a group for each of 100 rows"):
        compactflow.build(**SMALL).fit(X, groups=groups[:3])
    with pytest.raises(ValueError, match="no group is held out as a whole, as the 2 groups"):
        compactflow.build(**SMALL).fit(X, groups=groups)


def test_a_group_for_each_row_is_no_group():
    X, _ = alike(30, 4)
    plain = compactflow.build(**SMALL).fit(X)
    single = compactflow.build(**SMALL).fit(X, groups=np.arange(len(X)))
    np.testing.assert_array_equal(plain.signed_distance(X), single.signed_distance(X))
