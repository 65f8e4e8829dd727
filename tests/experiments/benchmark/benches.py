"""A small benchmark: its sets, its run and its results."""

import csv

import numpy as np

from compactflow.experiments.benchmark import run

CHEAP = ["KNN", "LOF", "PCA"]


def save(path, dim=3, inliers=60, outliers=10, seed=0, centre=4):
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(inliers, dim)), rng.normal(centre, 2, (outliers, dim))])
    np.savez(path, X=X, y=np.repeat([0, 1], [inliers, outliers]))


def start(data, out, detectors=CHEAP, sets=None, seeds=2, jobs=1, **options):
    folders = data if isinstance(data, list) else [data]
    return run(folders, out, detectors=detectors, sets=sets, seeds=seeds, jobs=jobs, **options)


def results(out):
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))
