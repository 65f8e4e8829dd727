"""
# How many false alarms?

The boundary keeps a share of inliers inside, 95 % unless you say otherwise. It moves without
another fit, as some rows were held out of the training to place it.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import compactflow
from compactflow.detector.screening import OutOfRangeWarning

X, y = load_breast_cancer(return_X_y=True)
rng = np.random.default_rng(0)
benign, malignant = rng.permutation(X[y == 1]), rng.permutation(X[y == 0])
train, new = benign[:250], benign[250:]
detector = compactflow.build(random_state=0).fit(train)

# %%
# That most malignant rows are out of the range of a column is no fault here, so the warning
# that says so is left out. Three levels, and what they do to new rows of both kinds.

warnings.simplefilter("ignore", OutOfRangeWarning)
for level in (0.8, 0.9, 0.95):
    detector.set_boundary(level=level)
    alarms, found = ((detector.predict(rows) == -1).mean() for rows in (new, malignant))
    print(f"level {level:.2f}: {alarms:.0%} false alarms, {found:.0%} of the malignant found")

# %%
# A p-value says how usual a row is among held-out inliers. Over new inliers it is spread
# evenly, so that a share of about α has p ≤ α; outliers crowd at the left.

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
bins = np.linspace(0, 1, 21)
groups = {"new benign rows": (new, "tab:blue"), "malignant rows": (malignant, "tab:red")}
for label, (rows, colour) in groups.items():
    axes.hist(detector.p_values(rows), bins, density=True, alpha=0.8, color=colour, label=label)
axes.axhline(1, color="black", linestyle="--", label="evenly spread")
axes.set(xlabel="p-value", ylabel="density")
axes.legend()
plt.show()

# %%
# `discoveries` makes a list in which a tenth is false, on average. The fewer outliers there
# are among the rows, the stricter it is.

mixed = np.r_[new, malignant]
listed = detector.discoveries(mixed, fdr=0.1)
print(f"{listed.sum()} rows are listed, {listed[len(new) :].sum()} of them malignant")
