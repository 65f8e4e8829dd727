"""
# Beside scikit-learn's detectors

Four shapes, five detectors, each with its own defaults behind standardised columns. The line
keeps 95 % of the training rows inside, by each detector's own score.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

import compactflow

n, rng = 500, np.random.default_rng(0)
shapes = {
    "moons": make_moons(n, noise=0.07, random_state=0)[0],
    "ring": make_circles(n, noise=0.05, factor=0.99, random_state=0)[0],
    "clusters": make_blobs(n, centers=[(-3, 0), (3, 2)], cluster_std=[0.4, 1.2], random_state=0)[
        0
    ],
    "correlated": rng.normal(size=(n, 2)) @ np.array([[2.0, 1.9], [0.0, 0.5]]),
}
detectors = {
    "OneClassSVM": lambda: make_pipeline(StandardScaler(), OneClassSVM()),
    "LocalOutlierFactor": lambda: make_pipeline(
        StandardScaler(), LocalOutlierFactor(novelty=True)
    ),
    "IsolationForest": lambda: IsolationForest(random_state=0),
    "compactflow": lambda: compactflow.build(random_state=0),
    "compactflow, fast": lambda: compactflow.build(random_state=0, preset="fast"),
}

# %%
# Above each picture stand the seconds of the fit on the machine that built this page.

figure, grid = plt.subplots(4, 5, figsize=(11, 9), layout="constrained")
for line, (shape, rows) in zip(grid, shapes.items(), strict=True):
    low, high = rows.min(axis=0) - 1, rows.max(axis=0) + 1
    x, y = np.meshgrid(*(np.linspace(a, b, 70) for a, b in zip(low, high, strict=True)))
    for axes, (name, make) in zip(line, detectors.items(), strict=True):
        start = time.perf_counter()
        detector = make().fit(rows)
        seconds = time.perf_counter() - start
        level = np.quantile(detector.decision_function(rows), 0.05)
        score = detector.decision_function(np.c_[x.ravel(), y.ravel()]).reshape(x.shape)
        axes.contourf(x, y, score >= level, [0.5, 1.5], colors=["#cfe3f6"])
        axes.scatter(*rows.T, s=2, color="tab:blue")
        axes.set(xticks=[], yticks=[], title=f"{name}\n{seconds:.2g} s")
    line[0].set_ylabel(shape)
plt.show()

# %%
# Pictures in two dimensions flatter flexible boundaries. [The benchmark](../../detection.md)
# has 85 tables.
