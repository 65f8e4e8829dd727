"""Fig. 3 of the paper: the least and the most anomalous examples of each class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from compactflow.experiments.reproduce.features import Features, load
from compactflow.experiments.reproduce.one_vs_rest import Study, evaluate
from compactflow.files import write_atomically

__all__ = ["run"]


def run(out: Path, study: Study) -> None:
    """Rank each class's test rows by the default trained on that class; write ``fig3.png``.

    Args:
        out: The folder to write to.
        study: What to measure on what; the first seed counts.

    Raises:
        ValueError: If the feature file has no images, or a training failed.
    """
    features = load(study.features, study.seeds[0])
    if features.images is None:
        raise ValueError(
            f"{study.features} has no array images, which fig3 draws: (n, height, width) or "
            "(n, height, width, 3)"
        )
    rows = evaluate(out, replace(study, seeds=study.seeds[:1]), ["ours"])
    examples = {}
    for row in rows:
        if row["error"]:
            raise ValueError(f"ours failed on {row['set']}: {row['error']}")
        examples[row["class"]] = (row["least"], row["most"])
    figure = _figure(features, examples)
    write_atomically(out / "fig3.png", lambda path: figure.savefig(path, dpi=80))


def _figure(features: Features, examples: dict[str, tuple[list[int], list[int]]]) -> Figure:
    assert features.images is not None
    figure = Figure(figsize=(10, 0.6 * len(examples) + 0.5), layout="constrained")
    halves: Any = figure.subfigures(1, 2, wspace=0.04)
    titles = ("least anomalous", "most anomalous, the most on the left")
    for side, (half, title) in enumerate(zip(halves, titles, strict=True)):
        half.suptitle(title)
        columns = max(len(sides[side]) for sides in examples.values())
        axes = half.subplots(len(examples), columns, squeeze=False)
        for line, (label, sides) in zip(axes, examples.items(), strict=True):
            line[0].set_ylabel(label, rotation=0, ha="right", va="center")
            for ax in line:
                ax.set(xticks=[], yticks=[], frame_on=False)
            for ax, i in zip(line, sides[side], strict=False):
                ax.imshow(features.images[i], cmap="gray_r")
    return figure
