"""
# Sensors over time, each machine by its own measure

Pumps run at temperatures of their own, in waves. What is usual for one pump is not for another,
and a sensor that sticks shows only values that are usual: it takes both the context and the
past to see it.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import compactflow

rng = np.random.default_rng(0)


def record(steps):
    """Three pumps, step by step: a wave around a level of their own."""
    hours = np.arange(steps)
    level = {"north": 40.0, "south": 55.0, "tower": 70.0}
    runs = [
        pd.DataFrame(
            {
                "pump": pump,
                "hour": hours,
                "heat": heat + 6 * np.sin(hours / 4) + rng.normal(0, 0.5, steps),
            }
        )
        for pump, heat in level.items()
    ]
    return pd.concat(runs, ignore_index=True)


# %%
# The windows are of the rows of a pump, in the order of the hours, and the pump is the context
# of what they hold.

detector = compactflow.build(
    context=["pump"],
    windows={"size": 6, "by": "pump", "time": "hour"},
    preset="fast",
    random_state=0,
).fit(record(300))
for name, taken in detector.columns_.items():
    print(f"{name:5} {taken}")

# %%
# Two faults: the south pump runs as warm as the tower's for a while, and later the sensor of
# the tower sticks.

new = record(200)
south, tower = (new.index[new["pump"] == pump] for pump in ("south", "tower"))
new.loc[south[60:90], "heat"] += 15.0
new.loc[tower[130:160], "heat"] = 71.0
outside = detector.predict(new) == -1

figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
colours = {"north": "tab:blue", "south": "#b45309", "tower": "tab:green"}
for pump, rows in new.groupby("pump"):
    axes.plot(rows["hour"], rows["heat"], label=pump, color=colours[pump], linewidth=1)
axes.plot(new["hour"][outside], new["heat"][outside], "k.", markersize=4, label="outside")
axes.set(xlabel="hour", ylabel="heat")
axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.15))
plt.show()

# %%
# How much of each fault is found, from the step on at which a window is full of it, and how
# many other rows are outside.

fault = np.zeros(len(new), dtype=bool)
fault[south[60:95]] = fault[tower[130:165]] = True  # whose windows hold some of it
print(f"warm: {outside[south[60:90]].mean():.0%} found")
print(f"stuck: {outside[tower[136:160]].mean():.0%} found")
print(f"other rows: {outside[~fault].mean():.1%} outside")
