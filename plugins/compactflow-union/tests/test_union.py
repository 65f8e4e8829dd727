import pytest
import torch
from compactflow_union.union import Union
from sklearn.datasets import make_blobs, make_moons

import compactflow
from compactflow.testing import parametrize


@parametrize("latent", "union", options={"components": 3, "shape": "ball"})
def test_union_of_balls(check):
    """Cubes take the same way; see below what is theirs."""
    check()


def test_one_component_is_the_cube():
    one, cube = Union(3, components=1), compactflow.plugins.registry.load("latent", "cube")(3)
    z = 2 * torch.randn(50, 3)
    torch.testing.assert_close(one.signed_distance(z), cube.signed_distance(z))
    torch.testing.assert_close(one.log_prob(z), cube.log_prob(z))


def test_signed_distance_by_hand():
    latent = Union(2)  # centres at (-1.5, 0) and (1.5, 0)
    z = torch.tensor([[1.5, 0.0], [0.0, 0.0], [2.5, 1.5], [-1.5, -2.0]])
    expected = torch.tensor([-1.0, 0.5, 0.5, 1.0])
    torch.testing.assert_close(latent.signed_distance(z), expected)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_components_are_found(count):
    centres = 10 * torch.eye(4)[:count]
    x, y = make_blobs(200 * count, 4, centers=centres.numpy(), random_state=0)
    latent = Union(4)
    anchors = latent.adapt(torch.from_numpy(x).float())
    assert len(latent.centres) == count
    torch.testing.assert_close(latent.weights, torch.full((count,), 1 / count))
    assert (latent.signed_distance(anchors) <= 1e-6).all()
    parts = torch.cdist(anchors, latent.centres).argmin(dim=1)
    for k in range(count):
        assert len(parts[torch.from_numpy(y) == k].unique()) == 1


def test_components_may_be_given():
    latent = Union(2, components=3)
    latent.adapt(torch.from_numpy(make_moons(300, noise=0.05, random_state=0)[0]))
    assert len(latent.centres) == 3
    distance = torch.cdist(latent.centres, latent.centres, p=torch.inf)
    assert (distance + 9 * torch.eye(3)).min() > 2


@pytest.mark.parametrize("rows", [1, 2, 15])
def test_few_rows_are_one_component(rows):
    latent = Union(2)
    latent.adapt(torch.randn(rows, 2))
    assert len(latent.centres) == 1


def test_a_fitted_detector_is_saved_with_its_parts(tmp_path):
    x = make_moons(300, noise=0.05, random_state=0)[0]
    small = {"members": 1, "max_steps": 3, "backbone_options": {"blocks": 1}, "random_state": 0}
    detector = compactflow.build(latent="union", **small).fit(x)
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    assert (loaded.signed_distance(x) == detector.signed_distance(x)).all()


def test_a_convex_pull_is_asked_for_by_the_mirror_push():
    with pytest.raises(ValueError, match="not convex on the support"):
        compactflow.build(latent="union", push="mirror")


@pytest.mark.parametrize(
    ("options", "word"), [({"components": 0}, "components"), ({"shape": "star"}, "shape")]
)
def test_bad_options_are_named(options, word):
    with pytest.raises(ValueError, match=word):
        Union(2, **options)
