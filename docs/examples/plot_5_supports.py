"""
# The same data, three supports

The latent is where inliers live: a cube, a ball, a normal distribution. Each has a signed
distance of its own. Here the score is that distance alone, by one flow, so that the supports
can be seen.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons

import compactflow
from compactflow import plotting

rows = make_moons(600, noise=0.08, random_state=0)[0]
latents = ("cube", "ball", "gaussian")
figure, grid = plt.subplots(2, 3, figsize=(9, 5.6), layout="constrained")
for name, (above, below) in zip(latents, grid.T, strict=True):
    detector = compactflow.build(
        latent=name, members=1, score_by="support", max_steps=200, random_state=0
    ).fit(rows)
    above.scatter(*rows.T, s=4)
    plotting.plot_decision(detector, rows, above)
    above.set_title(name)
    plotting.plot_latent_pair(detector, rows, ax=below)
    inside = (detector.predict(rows) == 1).mean()
    print(f"{name}: {inside:.0%} of the training rows inside")
plt.show()

# %%
# Above, the data and the boundary that decides; below, the latents of the same rows with the
# latent's own set. [Clusters and rings](../../supports.md) need a support in several pieces.
