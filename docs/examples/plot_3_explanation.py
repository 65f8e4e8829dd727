"""
# Why is this row an outlier?

An outlier is explained by a row near it that would pass, in the units of the data: what would
have to be different for it to be normal.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import compactflow
from compactflow import plotting

rng = np.random.default_rng(0)


def measure(n):
    """Pumps: what is delivered follows the speed, and the heat follows the load."""
    speed, load = rng.normal(1500, 100, n), rng.normal(40, 6, n)
    return pd.DataFrame(
        {
            "speed": speed,
            "flow": 0.02 * speed + rng.normal(0, 0.3, n),
            "load": load,
            "heat": 20 + 0.8 * load + rng.normal(0, 1, n),
        }
    )


detector = compactflow.build(random_state=0, preset="fast").fit(measure(800))

# %%
# A blocked pump: each number is usual, the speed and the flow together are not.

new = measure(3)
new.loc[1, ["speed", "flow"]] = [1600.0, 28.0]
explanation = detector.explain(new)
print(detector.predict(new))
explanation.to_frame(top=2)

# %%
# The row, and the nearest row that passes.

figure, axes = plt.subplots(figsize=(7, 2), layout="constrained")
plotting.plot_counterfactual(explanation, row=1, ax=axes)
plt.show()
