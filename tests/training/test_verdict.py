import numpy as np
import pytest

import compactflow
from compactflow.training.verdict import judge_history

FALLING = np.geomspace(2, 0.02, 20)
SETTLED = np.r_[np.geomspace(2, 0.1, 6), np.full(14, 0.1)]


PAPER = {"preset": "paper", "preprocessing": "standardise"}


@pytest.mark.parametrize(
    ("own", "others", "verdict"),
    [
        (SETTLED, SETTLED, "Converged"),
        (SETTLED, SETTLED + 0.05, "Converged"),  # chance, of few held-out rows
        (SETTLED[::-1] / 20, SETTLED[::-1] / 20, "Converged"),  # a small rise
        (FALLING, FALLING, "Still moving"),
        (FALLING[:3], FALLING[:3], "Still moving"),
        (FALLING[::-1], FALLING[::-1], "Ran away"),
        (np.r_[FALLING, np.inf], np.r_[FALLING, np.inf], "Ran away"),
        (SETTLED, SETTLED + 1, "Too few rows"),
        ([0.1], [0.1], "Converged"),
    ],
)
def test_made_up_histories(own, others, verdict):
    history = {"training_energy_distance": list(own), "energy_distance": list(others)}
    assert judge_history(history, 9, held_out=True).startswith(verdict)
    assert judge_history(history, 9, held_out=False).startswith(("Too few rows", "Ran away"))


def test_a_flow_that_cannot_be_inverted_ran_away():
    history = {"energy_distance": [0.1] * 3, "reconstruction_error": [1e-6, 1e-3, 0.5]}
    assert "reconstruction error" in judge_history(history, 2, held_out=True)


def test_without_a_history_it_says_so():
    assert judge_history({}, 2, held_out=True).startswith("Not recorded")


@pytest.mark.parametrize(
    ("rows", "dim", "options", "verdict"),
    [
        (400, 3, {"max_steps": 40}, "Converged"),
        (
            *(400, 3),
            PAPER | {"max_steps": 60, "learning_rate": 1e-2},
            "Still moving",
        ),
        (12, 3, {"max_steps": 5}, "Too few rows"),
        (40, 40, {"max_steps": 40}, "Too few rows"),
        (
            *(400, 8),
            {"max_steps": 60, "push": "mirror", "pull": "max-abs", "learning_rate": 3.0},
            "Ran away",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("small_default")
def test_real_histories(rows, dim, options, verdict):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, dim)) @ rng.normal(size=(dim, dim))
    detector = compactflow.build(random_state=0, members=1, **options).fit(X)
    held_out = detector.calibration_.held_out
    assert judge_history(detector.history_, dim, held_out=held_out).startswith(verdict)
