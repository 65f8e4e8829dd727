"""One page about a detector and a table: a self-contained HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from compactflow import plotting
from compactflow._version import __version__
from compactflow.detector.explanation import explain
from compactflow.plotting.labels import label_axes
from compactflow.report.survey import Survey
from compactflow.text import printable, shown
from compactflow.training.verdict import judge_history

if TYPE_CHECKING:
    from compactflow.detector.estimator import OneClassFlow

__all__ = ["render"]

Array = NDArray[np.float64]
Draw = Callable[[], Figure]

_DRAWN = 3000  # rows in scatter plots
_TOP = 6  # features shown of each
_COORDINATES = 4  # latent ones that are drawn in pairs


def render(detector: OneClassFlow, survey: Survey, *, model: str, table: str) -> str:
    """Describe a fitted detector and what it says of a table's rows.

    Args:
        detector: The fitted detector.
        survey: What it says of the table.
        model: The model's name, for the title.
        table: The table's name, for the title.

    Returns:
        An HTML page with its pictures inside, and without scripts. On a dark screen its style
        turns light and dark of the pictures round.

    Raises:
        ValueError: If the table has no rows.
    """
    if not survey.rows:
        raise ValueError(f"{table} has no rows to report on")
    names = detector.names_ if hasattr(detector, "feature_names_in_") else []
    parts = [_summary(detector, survey), *_pictures(detector, survey.sample, names)]
    parts.extend(_outliers(detector, survey))
    template = Template(
        resources.files("compactflow.report").joinpath("page.html").read_text("utf-8")
    )
    return template.substitute(
        title=escape(printable(f"{model} on {table}")),
        body="\n".join(parts),
        version=__version__,
    )


def _summary(detector: OneClassFlow, survey: Survey) -> str:
    calibration, sampled = detector.calibration_, len(survey.sample)
    rows = {
        "rows": survey.rows,
        "outliers": f"{survey.outliers} ({survey.outliers / survey.rows:.1%})",
        "in the pictures": f"{sampled} rows drawn at random"
        if sampled < survey.rows
        else "all rows",
        "calibration": calibration.describe(detector.ensemble_.level),
        "new inliers": calibration.expect(detector.ensemble_.level),
        "columns" if detector.encoder_ else "features": detector.n_features_in_,
        "backbone": detector.backbone,
        "latent": detector.settings_.parts["latent"].choice,
        "preset": detector.preset or "default",
    }
    return _table(["", ""], [[name, str(value)] for name, value in rows.items()])


def _pictures(detector: OneClassFlow, X: Array, names: list[str]) -> Iterator[str]:
    drawn = X[np.linspace(0, len(X) - 1, min(len(X), _DRAWN)).astype(int)]
    yield _picture(
        "Scores",
        "How far rows lie from the support's boundary: negative inside, positive outside.",
        lambda: _single(lambda ax: plotting.plot_scores(detector, X, ax)),
    )
    if detector.ensemble_.dim == 2 and detector.encoder_ is None:
        yield _picture(
            "The plane",
            "Signed distance, blue inside and red outside, and the boundary between, where "
            "decisions change.",
            lambda: _plane(detector, drawn, names),
        )
    yield _picture(
        "Latents",
        "Coordinates in latent space: rows in blue, outliers in red, and in grey where training "
        "would leave latents. Inliers of a good fit are spread like the grey.",
        lambda: plotting.plot_latent_pairs(detector, drawn, _COORDINATES),
    )
    yield _picture(
        "Calibration",
        "The share of these rows inside the boundary for each level. For new inliers the curve is "
        "the diagonal up to chance; below it, the rows hold outliers or have drifted.",
        lambda: _single(lambda ax: plotting.plot_calibration(detector, X, ax)),
    )
    if detector.history_:
        verdict = judge_history(
            detector.history_,
            detector.n_features_in_,
            held_out=detector.calibration_.held_out,
        )
        yield _picture(
            "Training",
            f"{verdict} The picture shows the energy distance between the latents and where they "
            "settle, at each check: it should fall, or rise and fall, and then stay, that of the "
            "held-out rows near that of the training rows.",
            lambda: _single(lambda ax: plotting.plot_history(detector, ax=ax)),
        )


def _plane(detector: OneClassFlow, X: Array, names: list[str]) -> Figure:
    figure = Figure(figsize=(6, 5), layout="constrained")
    ax = plotting.plot_decision(detector, X, figure.subplots())
    if names:
        label_axes(ax, names)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _outliers(detector: OneClassFlow, survey: Survey) -> Iterator[str]:
    places = survey.places
    yield "<h2>The furthest outliers</h2>"
    if not len(places):
        yield "<p>There are no outliers among these rows.</p>"
        return
    yield (
        "<p>For each an inlier near it, and what would have to change to get there, in standard "
        "deviations among inliers.</p>"
    )
    explanation = explain(
        detector.ensemble_,
        survey.furthest,
        detector.names_,
        encoder=detector.encoder_,
        table=survey.cells,
    )
    header = ["row", "signed distance", "feature", "value", "inlier at", "off by"]
    records = [
        [
            str(places[record["row"]] + 1),
            f"{record['signed_distance']:.4g}",
            record["feature"],
            *(shown(record[name]) for name in ("value", "counterfactual", "deviation")),
        ]
        for record in explanation.records(_TOP)
    ]

    def bars() -> Figure:
        figure = Figure(figsize=(9, 2.4 * -(-len(places) // 2)), layout="constrained")
        axes = figure.subplots(-(-len(places) // 2), 2, squeeze=False).ravel()
        for i, ax in enumerate(axes):
            if i < len(places):
                plotting.plot_counterfactual(explanation, i, ax, top=_TOP)
                ax.set(title=f"row {places[i] + 1}", xlabel="")
            else:
                ax.set_axis_off()
        return figure

    yield _image("what separates the furthest outliers from the inliers", bars)
    yield _table(header, records)


def _single(draw: Callable[..., object]) -> Figure:
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    draw(figure.subplots())
    return figure


def _picture(title: str, text: str, draw: Draw) -> str:
    return f"<h2>{title}</h2>\n<p>{text}</p>\n{_image(title, draw)}"


def _image(alternative: str, draw: Draw) -> str:
    buffer = io.BytesIO()
    with style.context("default"):  # whatever the caller's pictures are to look like
        draw().savefig(buffer, format="png", dpi=130)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'


def _table(header: list[str], rows: list[list[str]]) -> str:
    def line(tag: str, cells: list[str]) -> str:
        return (
            "<tr>"
            + "".join(f"<{tag}>{escape(printable(cell))}</{tag}>" for cell in cells)
            + "</tr>"
        )

    head = line("th", header) if any(header) else ""
    return (
        f'<div class="table"><table>{head}{"".join(line("td", row) for row in rows)}</table></div>'
    )
