"""Rows judged given their context, against rivals."""

import numpy as np
import pandas as pd

from compactflow.experiments.context import Outcome, compare


def halls(rows):
    rng = np.random.default_rng(0)
    hall = np.arange(rows) % 4
    heat = 5.0 * hall + rng.normal(size=rows)
    return pd.DataFrame({"hall": hall, "heat": heat, "load": rng.normal(size=rows)})


def test_what_is_usual_elsewhere_is_found_given_the_context_only(tmp_path, capsys):
    table = halls(240)
    small = {"max_steps": 2, "members": 1}
    found = compare(table, "hall", rows=25, **small)
    assert found["given the context"].auroc > found["without the group"].auroc + 0.3
    assert all(len(one.groups) == 4 for one in found.values())
    told = Outcome(auroc=1.0, outside=0.0, groups=np.zeros(2), rows=np.array([1, 20]))
    assert told.near == 0  # of one row none or all are outside; of 20 it takes just one
    assert np.isclose(told.possible, 20 * 0.05 * 0.95**19 / 2)
    table.to_csv(tmp_path / "halls.csv", index=False)
