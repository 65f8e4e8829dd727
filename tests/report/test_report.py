import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import compactflow
from compactflow.report.page import render
from compactflow.report.survey import Survey

SMALL = {"backbone_options": {"blocks": 2}, "members": 2, "max_steps": 2, "random_state": 0}


class Page(HTMLParser):
    """The tags of a page and what they refer to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.tags = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "srcset", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("names", [["<i>a</i>", "b"], ["a", "b", "c"]])
def test_the_page_stands_alone(names):
    X = np.random.default_rng(0).normal(size=(100, len(names)))
    detector = compactflow.build(**SMALL).fit(pd.DataFrame(X, columns=names))
    X[3] = 50
    text = render(detector, Survey.of(detector, [X]), model="<m>", table="t.csv")
    page = Page(text)
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert "script" not in page.tags
    assert not re.search(r"https?:|@import|url\(", text)
    assert "<i>" not in text
    assert "<m>" not in text
    assert page.tags.count("img") == (6 if len(names) == 2 else 5)
    dark = text.partition("prefers-color-scheme: dark")[2].partition("</style>")[0]
    assert "img { filter: invert(1)" in dark
    assert (
        f"{(detector.signed_distance(pd.DataFrame(X, columns=names)) > -detector.offset_).sum()} ("
        in text
    )
    assert re.search(r"<tr><td>4</td>", text)  # the planted row, counted from 1


@pytest.mark.usefixtures("unrendered")
def test_without_outliers():
    X = np.random.default_rng(0).normal(size=(60, 3))
    detector = compactflow.build(**SMALL, validation_fraction=0).fit(X)
    detector.set_boundary(0.999)
    text = render(detector, Survey.of(detector, [X]), model="m", table="t")
    assert "There are no outliers" in text
    assert "none were held out" in text
    assert "<p>Too few rows: none were held out" in text  # the verdict on the training


@pytest.mark.usefixtures("unrendered")
def test_a_survey_of_batches_keeps_as_much_of_a_long_table():
    rng = np.random.default_rng(0)
    detector = compactflow.build(**SMALL)
    X = rng.normal(size=(400, 2))
    detector.fit(X[:100])
    whole = Survey.of(detector, [X])
    parts = Survey.of(detector, iter([X[:7], X[7:7], X[7:]]), sampled=50, furthest=3)
    assert (whole.sample == X).all()
    assert (parts.rows, parts.outliers) == (whole.rows, whole.outliers) == (400, whole.outliers)
    worst = np.argsort(-detector.signed_distance(X))
    assert (parts.places == worst[:3]).all()
    assert (whole.places == worst[: len(whole.places)]).all()
    assert (parts.furthest == X[worst[:3]]).all()
    # Each row is as likely to be drawn, and the order is the table's.
    drawn = np.flatnonzero((X[:, None] == parts.sample).all(axis=2).any(axis=1))
    assert len(drawn) == 50
    assert (X[drawn] == parts.sample).all()
    assert 100 < np.median(drawn) < 300
    assert "50 rows drawn at random" in render(detector, parts, model="m", table="t")
