"""
# Behind a pipeline of scikit-learn or skrub

The detector takes tables as they are. Where columns are already prepared in a way of one's own,
it is the last step of a pipeline: a `ColumnTransformer` of scikit-learn, or the
`TableVectorizer` of [skrub](https://skrub-data.org), which looks at the columns itself.
"""

import importlib.util

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import compactflow

rng = np.random.default_rng(0)


def sell(n):
    """Orders: the price goes with the pieces, and how they come with the shop."""
    shop = rng.choice(["Oslo", "Rome", "Bonn"], n, p=[0.5, 0.3, 0.2])
    way = np.where(shop == "Bonn", "desk", rng.choice(["web", "phone"], n, p=[0.8, 0.2]))
    pieces = 1 + rng.poisson(3, n)
    price = pieces * np.where(way == "desk", 14.0, 9.0) * np.exp(0.15 * rng.normal(size=n))
    return pd.DataFrame({"shop": shop, "way": way, "pieces": pieces, "price": price.round(2)})


train, new, odd = sell(1000), sell(500), sell(60)
odd["price"] *= rng.choice([0.4, 2.5], 60)
odd.loc[::2, "way"] = odd["way"][::2].map({"desk": "web", "web": "desk", "phone": "desk"})

# %%
# Three ways to the same rows. A pipeline scores as its last step does.

ways = {
    "as it is": compactflow.build(random_state=0, preset="fast"),
    "ColumnTransformer": make_pipeline(
        make_column_transformer(
            (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["shop", "way"]),
            (StandardScaler(), ["pieces", "price"]),
        ),
        compactflow.build(random_state=0, preset="fast"),
    ),
}
if importlib.util.find_spec("skrub") is not None:
    from skrub import TableVectorizer

    ways["TableVectorizer"] = make_pipeline(
        TableVectorizer(), compactflow.build(random_state=0, preset="fast")
    )

truth = np.repeat([0, 1], [len(new), len(odd)])
rows = pd.concat([new, odd], ignore_index=True)
distances = {name: -way.fit(train).decision_function(rows) for name, way in ways.items()}

# %%
# How well each tells odd orders from others. Right of the line is outside: at a nominal 5 %, about
# so many of the other orders are there.

figure, axes = plt.subplots(1, len(ways), figsize=(10, 3), layout="constrained", sharey=True)
bins = np.linspace(-2, 6, 41)
for ax, (name, distance) in zip(axes, distances.items(), strict=True):
    shown = distance.clip(-2, 6)
    ax.hist(shown[truth == 0], bins, alpha=0.8, color="tab:blue", label="orders")
    ax.hist(shown[truth == 1], bins, alpha=0.8, color="tab:red", label="odd orders")
    ax.axvline(0, color="black", linestyle="--")
    alarms = (distance[truth == 0] > 0).mean()
    ax.set_title(f"{name}\nAUROC {roc_auc_score(truth, distance):.3f}, {alarms:.1%} outside")
    ax.set_xlabel("signed distance, at most 6")
axes[0].legend()
plt.show()
