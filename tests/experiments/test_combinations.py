"""Any part goes with any other: combinations train, improve and decode."""

import csv
import itertools

import numpy as np
import pytest
from brief import SMALL
from sklearn.datasets import make_blobs

import compactflow
from compactflow.experiments import combinations
from compactflow.plugins.builtin import BUILTINS

NAMES = {
    kind: [spec.name for spec in BUILTINS if spec.kind == kind and "composition" not in spec.tags]
    for kind in ("backbone", "latent", "pull", "push")
}
# One of those that a bridge makes stands for the others: it gives them all the same methods.
BACKBONES = ["coupling", "autoregressive", "iresnet", "zuko:NSF", "normflows:RealNVP"]


def chosen():
    """Every pair of parts that meet, but not every triple.

    On one backbone each pull meets each latent and, with one or the other, a push of each kind. A
    backbone meets neither latent nor pull but in a push: so with each push each other backbone
    sees one latent. Two pushes, which ask of a backbone what others ask too, take turns.
    """
    latents = NAMES["latent"]
    for i, latent in enumerate(latents):
        yield "coupling", latent, None, "likelihood"
        for j, pull in enumerate(NAMES["pull"]):
            yield "coupling", latent, pull, ("mirror", "stein")[(i + j) % 2]
    for i, backbone in enumerate(BACKBONES[1:]):
        turns = {"transport", "free-form-learnt"} - {("free-form-learnt", "transport")[i % 2]}
        for j, push in enumerate(name for name in NAMES["push"] if name not in turns):
            yield backbone, latents[(i + j) % len(latents)], None, push


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "latent", "pull", "push"), list(chosen()))
def test_combinations_train_improve_and_decode(backbone, latent, pull, push):
    centres = [[0, -1], [0, 1], [2, -1]]
    X = make_blobs(200, 2, centers=centres, cluster_std=0.1, random_state=0)[0] * [1, 3] + 5
    # The coupling's own rate is larger; of the others' a few steps would show nothing.
    steps, rate = (25, None) if backbone == "coupling" else (10, 2e-2)
    detector = compactflow.build(
        backbone,
        latent,
        pull,
        push,
        backbone_options=SMALL[backbone],
        members=1,
        max_steps=steps,
        batch_size=256,
        learning_rate=rate,
        random_state=0,
    ).fit(X)
    energies = detector.history_["training_energy_distance"]
    if (latent, pull) == ("gaussian", "barrier"):
        # A wall with a flat floor settles at the uniform ball, which is not the latent's law.
        assert (detector.signed_distance(X) <= 0).mean() > 0.9
    else:
        assert min(energies) < energies[0]  # after a step that hardly moves the network
    Z = detector.transform(X)
    assert np.isfinite(Z).all()
    decoded = detector.inverse_transform(Z)
    assert np.linalg.norm(decoded - X) <= 1e-9 * np.linalg.norm(X)


def test_the_table_has_every_pair_and_tells_what_failed(tmp_path, monkeypatch):
    for kind in ("backbone", "latent"):
        assert set(NAMES[kind]) <= set(combinations._names(kind))
    few = {"backbone": ["coupling", "normflows:NSF"], "latent": ["cube", "gaussian"]}
    monkeypatch.setattr(combinations, "_names", few.get)
    monkeypatch.setattr(combinations, "run_all", lambda call, tasks, _: [call(*t) for t in tasks])
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 1)), rng.normal(size=(10, 1)) + 8])
    np.savez(tmp_path / "line.npz", X=X, y=np.repeat([0, 1], [60, 10]))
    out = tmp_path / "table.csv"
    combinations.run(tmp_path / "line.npz", out, max_steps=2)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    pairs = [(row["backbone"], row["latent"]) for row in rows]
    assert pairs == list(itertools.product(*few.values()))
    for row in rows:
        if row["backbone"] == "normflows:NSF":
            assert "at least 2 features" in row["error"]
        else:
            assert float(row["decode_error"]) < 1e-9
            assert float(row["auroc"]) > 0.9


@pytest.mark.parametrize(
    ("error", "said"),
    [(SystemExit(0), "SystemExit: 0"), (TypeError("no\nluck"), "TypeError: no luck")],
)
def test_whatever_ends_one_combination_is_in_its_row(tmp_path, monkeypatch, error, said):
    def fail(**parts):
        raise error

    monkeypatch.setattr(combinations, "build", fail)
    np.savez(tmp_path / "a.npz", X=np.arange(20.0).reshape(10, 2), y=np.arange(10) == 3)
    row = combinations.measure(tmp_path / "a.npz", "coupling", "cube", None, 0)
    assert (row["error"], row["auroc"]) == (said, None)
