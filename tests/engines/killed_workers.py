"""Workers of Ray are killed and nothing is lost: ``python killed_workers.py FOLDER``.

A driver of its own, as Ray 2.60 may abort the driver some time after. What runs in the workers is
light: they start anew, and importing torch takes seconds.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray.data

from compactflow.engines.ray import Ray, score

BLOCKS, ROWS = 4, 10_000  # more than a batch each


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


def check_rows(folder):
    blocks = [pa.table({"id": np.arange(ROWS) + i * ROWS}) for i in range(BLOCKS)]
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    scored = score(ray.data.from_arrow(blocks), DiesOnce(str(folder / "rows")), workers=1)
    got = pa.concat_tables(ray.get(scored.to_arrow_refs()))
    assert got["id"].to_pylist() == list(range(BLOCKS * ROWS))
    assert got["score"].to_pylist() == list(range(0, 2 * BLOCKS * ROWS, 2))


def check_tasks(folder):
    assert list(Ray().run(double, str(folder / "tasks"), range(4))) == [0, 2, 4, 6]


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    check_tasks(FOLDER)
    check_rows(FOLDER)
    assert {path.name for path in FOLDER.iterdir()} == {"tasks", "rows"}  # all of which died
