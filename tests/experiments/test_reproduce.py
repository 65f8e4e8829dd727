import numpy as np
import pytest
from matplotlib.figure import Figure

import compactflow
from compactflow.experiments.reproduce import gaps, reproduce, shapes
from compactflow.plotting import plane, plot_boundary, plot_signed_distance


@pytest.fixture(scope="module")
def detector():
    X = np.random.default_rng(0).normal(size=(200, 2))
    options = {"members": 1, "boundary": "natural", "backbone_options": {"blocks": 2}}
    return compactflow.build(**options, max_steps=3, random_state=0).fit(X)


def test_drawn_boundary_lies_at_distance_zero(detector):
    ax = plot_boundary(detector, Figure().subplots(), points=500)
    drawn = np.stack(ax.lines[0].get_data(), axis=1)
    assert np.abs(detector.signed_distance(drawn)).max() < 1e-6
    np.testing.assert_array_equal(drawn[0], drawn[-1])


def test_plots_fill_the_limits_and_return_the_axes(detector):
    ax = Figure().subplots()
    ax.set(xlim=(-3, 3), ylim=(-2, 2))
    assert plot_signed_distance(detector, ax) is ax
    assert ax.get_xlim() == (-3, 3)


def test_plots_need_two_features():
    X = np.random.default_rng(0).normal(size=(50, 3))
    detector = compactflow.build(max_steps=1, members=1).fit(X)
    with pytest.raises(ValueError, match="2 features"):
        plot_boundary(detector, Figure().subplots())


@pytest.mark.slow
def test_default_hugs_the_moons():
    inliers = shapes.SHAPES["two moons"](1)
    detector = shapes.fit("two moons", None, False, 0)
    box = np.random.default_rng(0).uniform([-1.5, -1], [2.5, 1.5], (5_000, 2))
    area = 10 * (detector.signed_distance(box) <= 0).mean()
    ellipse = np.pi * 4 * np.sqrt(np.linalg.det(np.cov(inliers.T)))
    assert area < 0.7 * ellipse
    assert (detector.signed_distance(inliers) <= 0.1).mean() > 0.7


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(gaps, "_CELLS", 100)


class Rings:
    """Stands for a detector: inside within 0.12 of the circles of radius 0.5 and 1."""

    latent = "rings"

    @staticmethod
    def signed_distance(X):
        radius = np.linalg.norm(X, axis=1)
        return np.minimum(np.abs(radius - 0.5), np.abs(radius - 1)) - 0.12


class Disc:
    """Stands for a detector: inside the outer circle."""

    latent = "disc"

    @staticmethod
    def signed_distance(X):
        return np.linalg.norm(X, axis=1) - 1.12


@pytest.mark.usefixtures("coarse")
def test_gap_volume_is_the_area_away_from_the_data():
    rings = gaps.gap_volume(Rings(), "two circles", 0, boundary=0, quantile=0)
    assert rings < 0.02
    disc = gaps.gap_volume(Disc(), "two circles", 0, boundary=0, quantile=0)
    # The hole and the gap between the rings, less what the estimate smooths over: 0.15 each side.
    smoothed = np.pi * ((0.5 - 0.15) ** 2 + (1 - 0.15) ** 2 - (0.5 + 0.15) ** 2)
    assert disc == pytest.approx(smoothed, rel=0.3)


@pytest.mark.usefixtures("coarse")
def test_gap_volume_grows_with_the_level():
    levels = (0, 0.01, 0.5)
    volumes = [gaps.gap_volume(Rings(), "two circles", 0, 0, level) for level in levels]
    assert volumes == sorted(volumes)
    assert volumes[0] < volumes[-1]


@pytest.mark.usefixtures("coarse")
def test_gap_is_measured_at_equal_coverage():
    for detector in (Rings(), Disc()):
        row = gaps.measure(detector, "two circles", 0)
        assert row["coverage"] == pytest.approx(0.95, abs=0.03)
        assert row["gap_volume"] <= row["gap_volume_1_percent"]


@pytest.mark.usefixtures("small_default")
def test_a_failing_picture_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "fig1.png").write_bytes(b"old")
    monkeypatch.setattr(shapes, "SHAPES", {"two moons": shapes.SHAPES["two moons"]})
    monkeypatch.setattr(shapes, "_QUICK_STEPS", 2)
    monkeypatch.setattr(plane, "_GRID", 40)
    # Other processes would not see the steps.
    monkeypatch.setattr(
        shapes, "run_all", lambda function, tasks, title: [function(*task) for task in tasks]
    )

    def torn(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", torn)
    with pytest.raises(OSError, match="disk full"):
        shapes.run(tmp_path, quick=True, seed=0)
    assert (tmp_path / "fig1.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["fig1.png"]


def test_an_unknown_experiment_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"fig9.*fig1, fig2, .* and all"):
        reproduce(["fig9"], out=tmp_path / "results", quick=True)
    assert not (tmp_path / "results").exists()
