"""
# New rows like the inliers

A network that maps rows to latents and back can make new rows. `sample` draws them inside the
boundary.
"""

import matplotlib.pyplot as plt
import numpy as np

import compactflow

rng = np.random.default_rng(0)
angle = rng.uniform(0, 3 * np.pi, 1200)
radius = 0.4 + angle / 6
spiral = np.c_[radius * np.cos(angle), radius * np.sin(angle)] + rng.normal(0, 0.05, (1200, 2))
train, held_out = spiral[:900], spiral[900:]
detector = compactflow.build(random_state=0).fit(train)
samples = detector.sample(300, random_state=0)
print(f"{(detector.predict(samples) == 1).mean():.0%} of the samples are inside")

# %%
# Rows that the detector has not seen, and as many samples.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(7, 3.6), layout="constrained", sharex=True, sharey=True
)
left.scatter(*held_out.T, s=6, color="tab:blue")
left.set_title("held-out rows")
right.scatter(*samples.T, s=6, color="#b45309")
right.set_title("samples")
plt.show()

# %%
# [How near samples come to inliers](../../samples.md), in figures over real tables.
