"""
# A table with every kind of column

Milling machines as a maintenance team has them in its table: the kind of tool, the shift, what
sensors say, and gaps. The table goes in as it is, and the explanation speaks of its columns.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import compactflow

rng = np.random.default_rng(0)


def mill(n):
    """Torque and speed share a power; a tool wears, and a worn one runs warmer."""
    quality = rng.choice(["low", "medium", "high"], n, p=[0.5, 0.3, 0.2])
    wear = rng.uniform(0, 200, n).round()
    speed = rng.normal(1500, 120, n).round()
    power = rng.normal(6.3, 0.5, n) + np.where(quality == "high", 1.0, 0.0)
    table = pd.DataFrame(
        {
            "quality": quality,
            "shift": rng.choice(["early", "late"], n),
            "started": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 8760, n), "h"),
            "speed [rpm]": speed,
            "torque [Nm]": (power * 9549 / speed).round(1),
            "wear [min]": wear,
            "heat [K]": (300 + 0.04 * wear + rng.normal(0, 1, n)).round(1),
        }
    )
    table.loc[rng.random(n) < 0.1, "heat [K]"] = None
    return table


detector = compactflow.build(random_state=0, preset="fast").fit(mill(1000))
for name, taken in detector.columns_.items():
    print(f"{name:12} {taken}")

# %%
# Three faults among usual rows: a quality that nobody ordered, more torque than this speed can
# have, and a tool that is hot although it is new.

new = mill(400)
new.loc[0, "quality"] = "custom"
new.loc[1, ["speed [rpm]", "torque [Nm]"]] = [1750.0, 55.0]
new.loc[2, ["wear [min]", "heat [K]"]] = [5.0, 310.0]
explanation = detector.explain(new[:3])
explanation.to_frame(top=1)[["row", "feature", "value", "counterfactual"]]

# %%
# In each column the faults have usual values, and it is the pair that is odd. Other rows outside
# are odd in other columns.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
outside = detector.predict(new) == -1
for ax, x, y, fault in (
    (axes[0], "speed [rpm]", "torque [Nm]", 1),
    (axes[1], "wear [min]", "heat [K]", 2),
):
    ax.scatter(new[x], new[y], s=8, color="0.55", label="inside")
    ax.scatter(new[x][outside], new[y][outside], s=14, color="#b45309", label="outside")
    ax.scatter(new[x][fault], new[y][fault], s=120, facecolors="none", edgecolors="black")
    ax.annotate("fault", (new[x][fault], new[y][fault]), (9, -4), textcoords="offset points")
    ax.set(xlabel=x, ylabel=y)
axes[0].legend()
plt.show()
