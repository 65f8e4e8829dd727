"""
# Images: the least and the most usual zeros

A detector trained on handwritten zeros orders others by how far they are from what it knows.
For larger images, take the features of a pretrained network first.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import compactflow
from compactflow.detector.screening import OutOfRangeWarning

warnings.simplefilter("ignore", OutOfRangeWarning)  # other digits are, in many pixels
X, y = load_digits(return_X_y=True)
zeros = np.random.default_rng(0).permutation(X[y == 0])
detector = compactflow.build(random_state=0).fit(zeros[:100])

# %%
# Of the zeros it did not see, the nearest to the centre of its support and the furthest; of
# the other digits, the most zero-like and the least.


def ends(rows, k=8):
    """The k lowest and the k highest scores."""
    order = np.argsort(detector.signed_distance(rows))
    return rows[order[:k]], rows[order[-k:]]


titles = ("usual zeros", "unusual zeros", "zero-like digits", "unlike digits")
figure, grid = plt.subplots(4, 8, figsize=(7, 4), layout="constrained")
for line, images, title in zip(grid, (*ends(zeros[100:]), *ends(X[y != 0])), titles, strict=True):
    for axes, image in zip(line, images, strict=True):
        axes.imshow(image.reshape(8, 8), cmap="gray_r")
        axes.set(xticks=[], yticks=[])
    line[0].set_ylabel(title, rotation=0, ha="right", va="center")
plt.show()
