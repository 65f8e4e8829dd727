import numpy as np
import pytest
import torch

from compactflow.experiments.reproduce import fig2, theorem
from compactflow.experiments.reproduce.descent import descend


@pytest.mark.parametrize("latent", ["cube", "ball", "gaussian"])
@pytest.mark.parametrize("dim", [2, 5])
def test_the_solution_is_the_identity_until_it_is_disturbed(latent, dim):
    torch.manual_seed(0)
    flow = theorem.solution(latent, dim)
    z = flow.latent.sample(100)
    torch.testing.assert_close(flow.encode(z), z, rtol=0, atol=1e-5)
    theorem.disturb(flow)
    assert (flow.encode(z) - z).abs().mean() > 0.05


@pytest.mark.slow
def test_descent_returns_to_the_disturbed_solution():
    rows = theorem.measure("gaussian", "squared", "mirror", 3, 100, 0)
    itself, start, *_, end = (row["energy_distance"] for row in rows)
    assert start > 10 * abs(itself)
    assert end < start / 4
    assert [row["step"] for row in rows[:2]] == [-1, 0]


def test_theorem_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(theorem, "_STEPS", 6)
    monkeypatch.setattr(theorem, "_PULLS", ("max-abs", "squared"))
    monkeypatch.setattr(
        theorem, "run_all", lambda function, tasks, title: [function(*task) for task in tasks]
    )
    table = theorem.run(tmp_path, quick=True, seed=0)
    assert table.row_count == 3 * 2
    lines = (tmp_path / "theorem.csv").read_text().splitlines()
    assert lines[0] == "latent,pull,push,dim,step,energy_distance"
    assert len(lines) == 1 + 3 * 2 * 2 * 4
    assert (tmp_path / "theorem.png").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {"theorem.csv", "theorem.png"}


def test_descent_yields_before_and_after_every_step():
    flow = theorem.solution("cube", 2)
    options = {"pull": fig2.MaxAbs(flow.latent), "push": fig2.Mirror(), "learning_rate": 0.1}
    before = [parameter.clone() for parameter in flow.backbone.parameters()]
    steps = descend(flow, lambda: flow.latent.sample(8), steps=2, **options)
    assert next(steps) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, flow.backbone.parameters(), strict=True))
    assert list(steps) == [1, 2]
    assert any(
        not torch.equal(a, b) for a, b in zip(before, flow.backbone.parameters(), strict=True)
    )


@pytest.mark.slow
def test_one_dimension_comes_nearer_to_the_uniform():
    torch.manual_seed(0)
    before, after = fig2.train(fig2.mixture(2000), 60, (0, 60))
    outside = [(np.abs(shot.latents) > 1).mean() for shot in (before, after)]
    assert outside[1] < outside[0] / 2
    cell = 2 * fig2._EDGE / (fig2._GRID - 1)
    for shot in (before, after):
        assert shot.density.sum() * cell == pytest.approx(1, abs=0.05)


def test_fig2_is_written(tmp_path, monkeypatch):
    shot = fig2.Snapshot(0, np.linspace(-1, 1, 50), np.ones(fig2._GRID))
    monkeypatch.setattr(fig2, "train", lambda data, steps, moments: [shot] * len(moments))
    fig2.run(tmp_path, quick=True, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["fig2.png"]
    assert (tmp_path / "fig2.png").stat().st_size > 0
