"""Fig. 3 of the paper: the least and the most anomalous of each class and of all others."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from compactflow.experiments.reproduce.features import Features, load
from compactflow.experiments.reproduce.one_vs_rest import Study, evaluate
from compactflow.files import write_atomically

__all__ = ["run"]

#: The parts of each line by what the measurement calls them.
_PARTS = {
    "least": "inliers, lowest score first",
    "most": "inliers, highest first",
    "overlooked": "outliers, lowest first",
    "furthest": "outliers, highest first",
}
_SHOWN = 6  # of each part


def run(out: Path, study: Study) -> None:
    """Rank the test rows by the default trained on each class; write ``fig3.png``.

    Args:
        out: The folder to write to.
        study: What to measure on what; the first seed counts.

    Raises:
        ValueError: If the feature file has no images, or a training failed.
    """
    features = load(study.features, study.seeds[0])
    features.image(0)  # before the training, if there are none
    rows = evaluate(out, replace(study, seeds=study.seeds[:1]), ["ours"])
    examples = {}
    for row in rows:
        if row["error"]:
            raise ValueError(f"ours failed on {row['set']}: {row['error']}")
        examples[row["class"]] = {key: row[key] for key in _PARTS}
    figure = _figure(features, examples)
    write_atomically(out / "fig3.png", lambda path: figure.savefig(path, dpi=80))


def _figure(features: Features, examples: dict[str, dict[str, list[int]]]) -> Figure:
    columns = len(_PARTS) * (_SHOWN + 1) - 1  # an empty one between two parts
    height = 0.52 * len(examples) + 0.4
    figure = Figure(figsize=(0.5 * columns + 1.2, height))
    inner = (0.01, 0.01, 0.98, 0.98 - 0.3 / height)  # below the titles
    figure.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0, rect=inner)
    axes = figure.subplots(len(examples), columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for start, (key, title) in zip(itertools.count(0, _SHOWN + 1), _PARTS.items(), strict=False):
        axes[0, start].annotate(
            title,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            in_layout=False,  # it would widen the column
        )
        for line, parts in zip(axes, examples.values(), strict=True):
            for ax, i in zip(line[start : start + _SHOWN], parts[key], strict=False):
                ax.imshow(features.image(i), cmap="gray_r")
    for line, label in zip(axes, examples, strict=True):
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure
