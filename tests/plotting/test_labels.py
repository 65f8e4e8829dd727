import warnings
from html import escape

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import compactflow
from compactflow.plotting import labels, plot_counterfactual, plot_decision
from compactflow.plotting.labels import drawable, style_of
from compactflow.report.page import render
from compactflow.report.survey import Survey
from compactflow.text import printable

NAMES = [
    "$\\frac{$",
    "$x$",
    "a_b^c",
    "100 %",
    "<b>&",
    "\x1b[31mred",
    "温度",
    "line\nbreak",
    "n" * 9999,
]
TINY = {"max_steps": 1, "members": 1, "backbone_options": {"blocks": 1}, "random_state": 0}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_as_it_is(name, recwarn):
    figure = Figure()
    ax = figure.subplots()
    labels.label_axes(ax, [name, name])
    ax.set_yticks([0.5], [drawable(name)], **style_of([name]))
    figure.canvas.draw()
    assert not recwarn  # such as of a glyph that is missing
    shown = ax.xaxis.label.get_text()
    assert shown == ax.yaxis.label.get_text() == ax.get_yticklabels()[0].get_text()
    assert shown.isprintable()
    assert len(shown) <= 24
    if name.isascii() and name.isprintable() and len(name) < 24:
        assert shown == name
    assert not ax.xaxis.label.get_parse_math()
    assert not ax.get_yticklabels()[0].get_parse_math()


def test_letters_of_another_installed_font_are_drawn_with_it():
    usual = labels._letters_of("sans-serif")
    letter = max(labels._letters_of("STIXGeneral") - usual)
    assert drawable(f"a{letter}") == f"a{letter}"
    assert style_of([f"a{letter}"])["fontfamily"][0] == "sans-serif"
    assert len(style_of([f"a{letter}"])["fontfamily"]) == 2
    assert style_of(["a"])["fontfamily"] == ["sans-serif"]


def test_letters_of_no_installed_font_are_escapes(monkeypatch):
    monkeypatch.setattr(labels, "_find", lambda letters: ())
    assert drawable("回転 ü") == "\\u56de\\u8ee2 ü"


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("names", [NAMES[:2], NAMES])
def test_a_report_of_any_names(names):
    X = np.random.default_rng(0).normal(size=(60, len(names)))
    frame = pd.DataFrame(X, columns=names)
    detector = compactflow.build(**TINY).fit(frame)
    new = np.r_[X, X[:2] + 30]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = render(detector, Survey.of(detector, [new]), model="m\x1b", table="$t$")
        if len(names) == 2:
            plot_decision(detector, X)
        plot_counterfactual(detector.explain(pd.DataFrame(new, columns=names)), 60)
    assert "\x1b" not in text
    assert any(escape(printable(name)) in text for name in names)
