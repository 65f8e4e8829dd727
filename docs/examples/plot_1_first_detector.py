"""
# A first detector

Two moons, a detector fitted to some of their points, and the boundary it decides by.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import compactflow

rows = make_moons(900, noise=0.07, random_state=0)[0]
train, new = rows[:600], rows[600:]
detector = compactflow.build(random_state=0).fit(train)

# %%
# `predict` gives 1 for inliers and -1 for outliers, as in scikit-learn. New rows from the
# moons are mostly inliers. Rows from anywhere in the picture are mostly not.

anywhere = np.random.default_rng(0).uniform((-1.5, -1), (2.5, 1.5), size=(300, 2))
print(f"{(detector.predict(new) == 1).mean():.0%} of the new rows are inliers")
print(f"{(detector.predict(anywhere) == 1).mean():.0%} of the rows from anywhere are")

# %%
# The score is a signed distance: at most 0 for inliers, positive for outliers. The line is
# where it is 0.

x, y = np.meshgrid(np.linspace(-1.5, 2.5, 120), np.linspace(-1, 1.5, 90))
distance = detector.signed_distance(np.c_[x.ravel(), y.ravel()]).reshape(x.shape)

figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
shades = axes.contourf(x, y, distance.clip(max=15), 16, cmap="Blues")
axes.contour(x, y, distance, [0], colors="black")
axes.scatter(*new.T, s=8, color="#b45309", label="new rows")
axes.legend()
figure.colorbar(shades, label="signed distance (15 and above: one shade)")
plt.show()
