"""Later rows, learned without training anew."""

import numpy as np
import pandas as pd
import pytest

import compactflow
from compactflow.detector.updating import update

pytestmark = pytest.mark.filterwarnings("ignore::compactflow.detector.screening.OutOfRangeWarning")

SMALL = {
    "max_steps": 10,
    "members": 2,
    "backbone_options": {"blocks": 2, "width": 16},
    "random_state": 0,
}


def rows(count, at, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)) + at


def test_later_inliers_are_inside_and_earlier_ones_stay():
    detector = compactflow.build(**SMALL).fit(rows(300, 0.0))
    new = rows(400, 6.0, seed=1)
    assert (detector.predict(new) == -1).all()
    trained = detector.transform(new)
    before = detector.signed_distance(new)
    update(detector.ensemble_, detector.calibration_, new)  # which leaves what it is given
    np.testing.assert_array_equal(detector.signed_distance(new), before)
    assert detector.partial_fit(rows(300, 6.0, seed=2)) is detector
    assert (detector.predict(new) == 1).mean() == pytest.approx(0.95, abs=0.06)
    assert (detector.predict(rows(300, 0.0, seed=3)) == 1).mean() > 0.85
    assert (detector.predict(rows(300, -9.0, seed=4)) == -1).all()
    np.testing.assert_array_equal(detector.transform(new), trained)  # the flows stay
    columns = detector.ensemble_.scores[0].columns
    assert (columns.rows * columns.unit + columns.centre > 5).any(dim=0).all()  # one by one, too
    assert len(detector.calibration_.scores) == 40 + 40


def test_the_first_call_fits_and_a_saved_detector_goes_on(tmp_path):
    fitted = compactflow.build(**SMALL).fit(rows(300, 0.0))
    first = compactflow.build(**SMALL).partial_fit(rows(300, 0.0))
    np.testing.assert_array_equal(
        fitted.signed_distance(rows(9, 1.0)), first.signed_distance(rows(9, 1.0))
    )
    fitted.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model").partial_fit(rows(50, 2.0, seed=5))
    fitted.partial_fit(rows(50, 2.0, seed=5))
    np.testing.assert_allclose(
        loaded.signed_distance(rows(9, 1.0)), fitted.signed_distance(rows(9, 1.0))
    )
    loaded.save(tmp_path / "later")
    again = compactflow.load(tmp_path / "later")
    np.testing.assert_array_equal(
        again.signed_distance(rows(9, 1.0)), loaded.signed_distance(rows(9, 1.0))
    )


def test_what_does_not_go_with_it_is_refused_and_changes_nothing():
    detector = compactflow.build(**SMALL).fit(rows(100, 0.0))
    before = detector.signed_distance(rows(9, 1.0))
    with pytest.raises(ValueError, match="3 features"):
        detector.partial_fit(rows(100, 0.0)[:, :2])
    np.testing.assert_array_equal(detector.signed_distance(rows(9, 1.0)), before)
    support = compactflow.build(**SMALL, score_by="support").fit(rows(100, 0.0))
    with pytest.raises(ValueError, match="takes score_by='neighbours'"):
        support.partial_fit(rows(100, 0.0))


def test_few_rows_are_learned_without_calibration():
    detector = compactflow.build(**SMALL).fit(rows(100, 0.0))
    scores = detector.calibration_.scores
    strange = np.full((6, 3), 4.0) + 0.01 * rows(6, 0.0)
    before = detector.signed_distance(strange)
    detector.partial_fit(strange)
    np.testing.assert_array_equal(detector.calibration_.scores, scores)
    assert (detector.signed_distance(strange) < before).all()


def test_a_moved_normal_is_calibrated_anew():
    detector = compactflow.build(**SMALL).fit(rows(300, 0.0))
    moved = detector.recalibrate(rows(300, 1.5, seed=1))
    new = rows(500, 1.5, seed=2)
    assert (moved.predict(new) == 1).mean() == pytest.approx(0.95, abs=0.04)
    assert abs(moved.p_values(new).mean() - 0.5) < 0.08


def test_tables_of_any_columns_are_learned():
    table = pd.DataFrame(rows(200, 0.0), columns=list("abc"))
    table["shop"] = np.where(table["a"] > 0, "north", "south")
    detector = compactflow.build(**SMALL).fit(table)
    later = table.assign(b=table["b"] + 8)
    assert (detector.partial_fit(later).predict(later) == 1).mean() > 0.9
