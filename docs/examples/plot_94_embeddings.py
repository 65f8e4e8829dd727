"""
# Embeddings of images and texts

An image or a text is judged by its embedding, the features that a pretrained network gives: rows
of numbers as any others. So that this page needs no download, small stand-ins make them here: the
hidden layer of a network that tells digits apart, and word counts reduced to few numbers.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

import compactflow

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(0)

# %%
# Images: a network learns the digits 0 to 7, and its 32 hidden units are the embedding. The
# detector knows the same digits; 8 and 9 are new to both.

X, y = load_digits(return_X_y=True)
order = rng.permutation(len(X))
X, y = X[order] / 16, y[order]
known = y < 8
digits = np.flatnonzero(known)
train, new = digits[:900], np.r_[digits[900:], np.flatnonzero(~known)]
network = MLPClassifier(32, max_iter=60, random_state=0).fit(X[train], y[train])


def embed(images):
    """What the hidden units say of images."""
    return np.maximum(images @ network.coefs_[0] + network.intercepts_[0], 0)


images = compactflow.build(random_state=0, preset="fast").fit(embed(X[train]))
distances = {"images": (images.signed_distance(embed(X[new])), ~known[new])}

# %%
# Texts: lines of a log, in 12 numbers each. What is outside is put together from the same words in
# another way, or has words of its own.

parts = {"pump": ["started", "stopped", "idles"], "valve": ["opened", "closed", "leaks"]}
people = ["ada", "bo", "cem", "dot", "eva", "finn", "gus", "hal"]


def write(n, mixed):
    """Lines in which a part does what it can do, or if mixed what the other does."""
    lines = []
    for part in rng.choice(list(parts), n):
        other = next(name for name in parts if name != part)
        done = rng.choice(parts[other if mixed else part])
        who, hall = rng.choice(people), rng.choice(["north", "east", "south", "west"])
        lines.append(f"{part} {done}, says {who} in the {hall} hall")
    return lines


texts = make_pipeline(
    TfidfVectorizer(ngram_range=(1, 2)),
    TruncatedSVD(12, random_state=0),
    compactflow.build(random_state=0, preset="fast"),
).fit(write(800, mixed=False))
odd = [*write(50, mixed=True), *["smoke in the engine room"] * 10]
scores = -texts.decision_function([*write(300, mixed=False), *odd])
distances["texts"] = (scores, np.repeat([False, True], [300, len(odd)]))

# %%
# Right of the line is outside: at a nominal 5 %, about so many of the usual ones are there.

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for ax, (name, (distance, truth)) in zip(axes, distances.items(), strict=True):
    bins = np.linspace(-2, 3, 41)
    ax.hist(distance[~truth].clip(-2, 3), bins, alpha=0.7, label="usual")
    ax.hist(distance[truth].clip(-2, 3), bins, alpha=0.7, label="odd")
    ax.axvline(0, color="black", linestyle="--")
    alarms = (distance[~truth] > 0).mean()
    ax.set_title(f"{name}: AUROC {roc_auc_score(truth, distance):.3f}, {alarms:.1%} outside")
    ax.set_xlabel("signed distance, at most 3")
axes[0].legend()
plt.show()
