"""Engines that stand in for a cluster, and what all that run on one must equal."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from compactflow import cli
from compactflow.engines.base import Engine
from compactflow.scoring import ArrowScorer

ROWS = 900


def score(folder, engine, out):
    paths = [str(folder / "pump.model"), str(folder / "new"), "--out", str(out)]
    return cli.main(["score", *paths, "--engine", engine, "--quiet"])


def check(folder, out):
    """Check that the scores in a folder are those of one process, bit for bit."""
    got, new = pq.read_table(out), pq.read_table(folder / "new.parquet")
    added = ["signed_distance", "decision_function", "is_outlier"]
    assert got.column_names == [*new.column_names, *added]
    assert got.select(new.column_names).equals(new)
    wanted = ArrowScorer(folder / "pump.model")(new)
    np.testing.assert_allclose(got["signed_distance"], wanted["score"], rtol=1e-12, atol=1e-12)
    assert got["is_outlier"].to_pylist() == wanted["outlier"].to_pylist()


class OneByOne(Engine):
    """An engine that pickles what it runs, and runs it in a thread of its own."""

    def run(self, function, shared, tasks):
        with ThreadPoolExecutor(1) as pool:
            for task in tasks:
                call, sent, own = pickle.loads(pickle.dumps((function, shared, task)))
                yield pool.submit(call, sent, own).result()


class Twice(OneByOne):
    """An engine that runs each task again, as where its worker was killed."""

    def run(self, function, shared, tasks):
        for task in tasks:
            _, again = super().run(function, shared, [task, task])
            yield again


class Absent(Engine):
    """An engine whose library is not installed."""

    def run(self, function, shared, tasks):
        raise ImportError("pip install slurm")


class Failing(OneByOne):
    """An engine that fails half-way."""

    def run(self, function, shared, tasks):
        yield from super().run(function, shared, tasks[:1])
        raise OSError("the cluster is gone")


MIXED = {"members": 2, "max_steps": 3, "random_state": 3, "backbone_options": {"blocks": 1}}


def mixed_rows():
    """Rows with gaps, which the flows fill in their own ways, and more than a block of them."""
    X = np.random.default_rng(1).normal(size=(300, 3))
    X[::7, 1] = np.nan
    return pa.table(dict(zip("abc", X.T, strict=True)))


def check_fitted_alike(one, other, X):
    np.testing.assert_array_equal(one.signed_distance(X), other.signed_distance(X))
    np.testing.assert_array_equal(one.calibration_.scores, other.calibration_.scores)
    assert one.history_ == other.history_
