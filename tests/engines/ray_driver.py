"""What Ray must do, in one cluster: ``python ray_driver.py MODELS FOLDER``.

A driver of its own, as Ray 2.60 may abort the driver, mostly some time after a worker was killed.
What runs in the workers that die is light: they start anew, and importing torch takes seconds.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray.data
from stand_ins import MIXED, check, check_fitted_alike, mixed_rows, score

import compactflow
from compactflow.engines.ray import Ray
from compactflow.engines.ray import score as score_dataset

BLOCKS, ROWS = 4, 10_000  # more than a batch each


def fail(shared, task):
    raise ValueError(f"{shared} and {task}")


def die_once(flag):
    if not os.path.exists(flag):
        open(flag, "w").close()
        os._exit(1)


class DiesOnce:
    """A scorer whose process ends once, when another batch has been scored."""

    def __init__(self, flag):
        self.flag = flag

    def __call__(self, table):
        if table["id"][0].as_py() > 0:
            die_once(self.flag)
        return table.append_column("score", pa.array(2.0 * table["id"].to_numpy()))


def double(flag, task):
    if task == 0:
        die_once(flag)
    return 2 * task


def check_an_error_is_raised_as_it_was():
    with pytest.raises(ValueError, match=r"^this and that$"):
        list(Ray().run(fail, "this", ["that"]))


def check_scores(models, out):
    assert score(models, "ray", out) == 0
    check(models, out)


def check_fits():
    X = mixed_rows()
    one, other = (compactflow.build(**MIXED) for _ in range(2))
    check_fitted_alike(one.fit(X), other.fit(X, engine="ray"), X)


def check_a_death_loses_no_task(flag):
    assert list(Ray().run(double, str(flag), range(4))) == [0, 2, 4, 6]
    assert flag.exists()  # so one has died


def check_a_death_loses_no_row(flag):
    blocks = [pa.table({"id": np.arange(ROWS) + i * ROWS}) for i in range(BLOCKS)]
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    scored = score_dataset(ray.data.from_arrow(blocks), DiesOnce(str(flag)), workers=1)
    got = pa.concat_tables(ray.get(scored.to_arrow_refs()))
    assert got["id"].to_pylist() == list(range(BLOCKS * ROWS))
    assert got["score"].to_pylist() == list(range(0, 2 * BLOCKS * ROWS, 2))
    assert flag.exists()


if __name__ == "__main__":
    MODELS, FOLDER = map(Path, sys.argv[1:])
    # One worker, as each imports torch.
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    check_an_error_is_raised_as_it_was()
    check_scores(MODELS, FOLDER / "scores")
    check_fits()
    check_a_death_loses_no_task(FOLDER / "task")
    check_a_death_loses_no_row(FOLDER / "row")
