import pytest
import torch
from compactflow_shell.shell import Shell
from sklearn.datasets import make_circles

import compactflow
from compactflow.testing import parametrize


@parametrize("latent", "shell", options={"shells": 2})
def test_two_shells(check):
    """One shell has nothing that two have not."""
    check()


def test_signed_distance_by_hand():
    z = torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 2.0], [0.0, -2.25], [3.5, 0.0], [0.0, 5.0]])
    one = torch.tensor([1.0, -0.5, 0.0, 0.25, 1.5, 3.0])
    torch.testing.assert_close(Shell(2).signed_distance(z), one)
    two = torch.tensor([1.0, -0.5, 0.0, 0.25, -0.5, 1.0])
    torch.testing.assert_close(Shell(2, shells=2).signed_distance(z), two)


@pytest.mark.parametrize("shells", [None, 2])
def test_shells_are_found(shells):
    x, y = make_circles(600, noise=0.03, factor=0.5, random_state=0)
    latent = Shell(2, shells=shells)
    anchors = latent.adapt(torch.from_numpy(x).float())
    torch.testing.assert_close(latent.weights, torch.full((2,), 0.5))
    inner = torch.from_numpy(y == 1)
    assert (anchors[inner].norm(dim=1) <= 2 + 1e-5).all()
    assert (anchors[~inner].norm(dim=1) >= 3 - 1e-5).all()


@pytest.mark.parametrize("rows", [1, 2, 15])
def test_few_rows_are_one_shell(rows):
    latent = Shell(2)
    assert latent.adapt(torch.randn(rows, 2)).isfinite().all()
    assert len(latent.weights) == 1


def test_a_fitted_detector_is_saved_with_its_shells(tmp_path):
    x = make_circles(300, noise=0.03, factor=0.5, random_state=0)[0]
    small = {"members": 1, "max_steps": 3, "backbone_options": {"blocks": 1}, "random_state": 0}
    detector = compactflow.build(latent="shell", **small).fit(x)
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    assert len(loaded.flow_.latent.weights) == 2
    assert (loaded.signed_distance(x) == detector.signed_distance(x)).all()


def test_shells_must_be_positive():
    with pytest.raises(ValueError, match="shells"):
        Shell(2, shells=0)
