import numpy as np
import pytest

from compactflow.calibration import Calibration


def test_p_values_by_hand():
    calibration = Calibration.of(np.array([3.0, 1.0, 2.0, 2.0]), held_out=True)
    p = calibration.p_values(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(p, np.array([5, 5, 4, 4, 2, 1]) / 5)


def test_p_values_need_held_out_rows():
    calibration = Calibration.of(np.arange(4.0), held_out=False)
    with pytest.raises(ValueError, match="validation_fraction"):
        calibration.p_values(np.zeros(1))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_threshold_keeps_its_level_on_average(level):
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        calibration = Calibration.of(rng.normal(size=40), held_out=True)
        inside.append(rng.normal() <= calibration.threshold(level))
    assert level - 0.02 < np.mean(inside) < level + 1 / 41 + 0.02


def test_too_few_rows_put_the_threshold_at_the_largest_score():
    calibration = Calibration.of(np.arange(5.0), held_out=True)
    assert calibration.threshold(0.99) == pytest.approx(4)
    assert calibration.threshold("natural") == 0
