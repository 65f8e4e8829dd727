import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

import compactflow
from compactflow import plotting

OPTIONS = {
    "max_steps": 3,
    "members": 2,
    "backbone_options": {"blocks": 2},
    "random_state": 0,
}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(200, 2)) * [1, 10]


@pytest.fixture(scope="module")
def detector(X):
    return compactflow.build(**OPTIONS).fit(X)


@pytest.fixture
def ax():
    return Figure().subplots()


def drawings(detector, X):
    return {
        "plot_boundary": lambda ax=None: plotting.plot_boundary(detector, ax, points=100),
        "plot_decision": lambda ax=None: plotting.plot_decision(detector, X, ax),
        "plot_latent_marginal": lambda ax=None: plotting.plot_latent_marginal(detector, X, 1, ax),
        "plot_latent_pair": lambda ax=None: plotting.plot_latent_pair(detector, X, 0, 1, ax),
        "plot_scores": lambda ax=None: plotting.plot_scores(detector, X, ax),
        "plot_calibration": lambda ax=None: plotting.plot_calibration(detector, X, ax),
        "plot_history": lambda ax=None: plotting.plot_history(detector, ax=ax),
        "plot_counterfactual": lambda ax=None: plotting.plot_counterfactual(
            detector.explain(X * 5), 0, ax
        ),
    }


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("name", sorted(drawings(None, None)))
def test_draws_on_the_axes_it_is_given_or_makes_its_own(detector, X, ax, name):
    draw = drawings(detector, X)[name]
    assert draw(ax) is ax
    made = draw()
    assert made is not ax
    for drawn in (ax, made):
        assert drawn.has_data()
        drawn.figure.canvas.draw()


def test_the_decision_line_is_where_decisions_change(detector, X, ax):
    plotting.plot_decision(detector, X, ax)
    (line,) = [c for c in ax.collections if isinstance(c, ContourSet) and not c.filled]
    points = line.get_paths()[0].vertices
    assert np.abs(detector.decision_function(points)).max() < 0.1


@pytest.mark.parametrize(
    ("members", "score_by", "boundary"),
    [(1, "support", 0.5), (2, "support", 0.95), (1, "neighbours", 0.95), (2, "neighbours", 0.5)],
)
def test_the_boundary_that_is_drawn_decides(X, ax, members, score_by, boundary):
    chosen = {"members": members, "score_by": score_by, "boundary": boundary}
    detector = compactflow.build(**OPTIONS | chosen).fit(X)
    plotting.plot_boundary(detector, ax, points=200)
    distance = detector.signed_distance(np.concatenate([line.get_xydata() for line in ax.lines]))
    mapped = members == 1 and score_by == "support"
    assert np.abs(distance).max() < (1e-9 if mapped else 0.1)


def test_scores_count_every_row_and_mark_the_threshold(detector, X, ax):
    far = np.concatenate([X, X[:7] * 1e5])
    plotting.plot_scores(detector, far, ax, outlier=np.arange(len(far)) >= len(X))
    assert sum(patch.get_height() for patch in ax.patches) == len(far)
    assert -detector.offset_ in [line.get_xdata()[0] for line in ax.lines]
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == ["inliers", "outliers"]


def test_the_calibration_curve_is_the_diagonal_on_the_calibration_rows(X, ax):
    held_out = np.random.RandomState(0).permutation(200)[:40]
    single = compactflow.build(**OPTIONS | {"members": 1}).fit(X)
    plotting.plot_calibration(single, X[held_out], ax)
    levels, inside = ax.lines[1].get_data()
    # The conformal quantile rounds up, to the next of 41 places.
    assert ((inside >= levels) & (inside <= levels + 2 / 40)).all()


def test_only_features_that_change_are_shown(detector, X, ax):
    rows = np.array([[0.0, 300.0]])
    plotting.plot_counterfactual(detector.explain(rows), 0, ax)
    (label,) = [text.get_text() for text in ax.get_yticklabels()]
    assert label.startswith("x1: 300 → ")


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_latent_pairs_make_a_matrix(dim):
    X = np.random.default_rng(0).normal(size=(50, dim))
    figure = plotting.plot_latent_pairs(compactflow.build(**OPTIONS).fit(X), X, 2)
    assert len(figure.axes) == min(dim, 2) ** 2
    figure.canvas.draw()


def test_wrong_arguments_are_named(detector, X):
    with pytest.raises(ValueError, match="no latent coordinate 2"):
        plotting.plot_latent_marginal(detector, X, 2)
    with pytest.raises(ValueError, match="it has step, loss"):
        plotting.plot_history(detector, "accuracy")
    wide = compactflow.build(**OPTIONS).fit(np.c_[X, X[:, 0]])
    with pytest.raises(ValueError, match="2 features"):
        plotting.plot_decision(wide, X)


def test_a_data_frame_gives_its_names_and_no_warning(X, ax, recwarn):
    frame = pd.DataFrame(X, columns=["width", "height"])
    detector = compactflow.build(**OPTIONS).fit(frame)
    plotting.plot_decision(detector, frame, ax)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")
    assert not [w for w in recwarn if "feature names" in str(w.message)]
