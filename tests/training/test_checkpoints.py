import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import compactflow
from compactflow.backbones.coupling import Coupling
from compactflow.latents.ball import Ball
from compactflow.persistence import archive
from compactflow.pushes.stein import Stein

X = np.random.default_rng(0).normal(size=(60, 2)) * [1, 10]
FILE = "training.checkpoint"


def build(**options):
    defaults = {
        "backbone_options": {"blocks": 1, "width": 4},
        "members": 2,
        "max_steps": 8,
        "random_state": 0,
    }
    return compactflow.build(**defaults | options)


def same(one, other):
    """Whether two detectors have the same weights, bit for bit, and decide alike."""
    a, b = one.ensemble_.state_dict(), other.ensemble_.state_dict()
    return (
        all((a[name] == b[name]).all() for name in a)
        and one.ensemble_.level == other.ensemble_.level
        and one.history_ == other.history_
    )


# One process that forks before it computes anything: each child imports nothing anew.
_KILLS = """
import os, signal, sys
from pathlib import Path
import numpy as np, torch
import sklearn.covariance  # loaded at the first fit
import compactflow, compactflow.detector.estimator
from compactflow.training.optimisation import find_optimizer
sys.path.insert(0, sys.argv[2])
from test_checkpoints import X, build

Adam = find_optimizer("adam").func

def fit(folder, random_state, die):
    torch.set_num_threads(1)
    calls = {"replace": 0, "replaced": 0, "step": 0}
    replace, step = os.replace, Adam.step
    def count(event):
        calls[event] += 1
        if die == (event, calls[event]):
            os.kill(os.getpid(), signal.SIGKILL)
    def counted_replace(source, target):
        count("replace")  # the temporary file is whole, and the old one still in its place
        replace(source, target)
        count("replaced")
    def counted_step(self, *args, **kwargs):
        count("step")
        return step(self, *args, **kwargs)
    os.replace, Adam.step = counted_replace, counted_step
    detector = build(random_state=random_state).fit(X, checkpoint=folder)
    os.replace, Adam.step = replace, step
    detector.save(folder / "model")

def child(*args):
    process = os.fork()
    if process == 0:
        try:
            fit(*args)
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(process, 0)[1])

out = Path(sys.argv[1])
never = ("step", -1)
for event, number in (("replace", 1), ("replaced", 1), ("replace", 8), ("step", 8)):
    folder = out / f"{event}-{number}"
    assert child(folder, 0, (event, number)) == signal.SIGKILL
    assert not (folder / "model").exists()
    assert child(folder, 0, never) == 0
folder = out / "often"
for event, number in (("replace", 2), ("replaced", 3), ("step", 2), ("replace", 1), ("step", 1)):
    assert child(folder, 0, (event, number)) == signal.SIGKILL
assert child(folder, 0, never) == 0
assert child(out / "unseeded", None, ("step", 4)) == signal.SIGKILL
"""


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def undisturbed():
    return build().fit(X)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_weights(undisturbed, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _KILLS, tmp_path, Path(__file__).parent],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    folders = [folder for folder in tmp_path.iterdir() if folder.name != "unseeded"]
    assert len(folders) == 5
    for folder in folders:
        detector = compactflow.load(folder / "model", device="cpu")
        assert same(detector, undisturbed), folder.name
        # What a killed write left behind is gone.
        assert {path.name for path in folder.iterdir()} == {FILE, "model"}
    # One without a seed keeps that which it drew.
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "unseeded", again)
    fits = [
        build(random_state=None).fit(X, checkpoint=folder)
        for folder in (tmp_path / "unseeded", again)
    ]
    assert same(*fits)


def test_keeping_a_checkpoint_changes_nothing(tmp_path, undisturbed):
    folder = tmp_path / "made" / "here"
    assert same(build().fit(X, checkpoint=folder), undisturbed)
    assert same(build().fit(X, checkpoint=folder), undisturbed)


@pytest.mark.parametrize("options", [{"backbone": "iresnet", "push": "mirror"}, {"latent": Ball}])
def test_other_parts_go_on_too(options, tmp_path):
    options = options | {"backbone_options": {"blocks": 2, "width": 4}}
    whole = build(**options).fit(X, checkpoint=tmp_path)
    assert same(build(**options).fit(X, checkpoint=tmp_path), whole)


@pytest.mark.usefixtures("first_party_plugins")
def test_a_warm_up_is_gone_on_with(tmp_path, monkeypatch):
    from compactflow.training import trainer

    whole = build(latent="union", max_steps=40).fit(X)
    step = trainer._Run.step

    def interrupted(run, number):
        if number == 6:
            raise KeyboardInterrupt
        return step(run, number)

    monkeypatch.setattr(trainer._Run, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(latent="union", max_steps=40).fit(X, checkpoint=tmp_path)
    monkeypatch.undo()
    assert same(build(latent="union", max_steps=40).fit(X, checkpoint=tmp_path), whole)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    build().fit(X, checkpoint=folder)
    return folder


@pytest.mark.parametrize(
    ("options", "data", "what"),
    [
        ({}, X + 1e-9, "data"),
        ({}, X[1:], "data"),
        ({"max_steps": 9}, X, "max_steps"),
        ({"learning_rate": 1e-4, "latent": "ball"}, X, "latent, learning_rate"),
        ({"random_state": 1}, X, "random_state"),
        ({"push": Stein()}, X, "push"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(folder, options, data, what):
    before = (folder / FILE).read_bytes()
    with pytest.raises(ValueError, match=f"another run, with other {what};.*remove"):
        build(**options).fit(data, checkpoint=folder)
    assert (folder / FILE).read_bytes() == before


def test_instances_are_told_apart(tmp_path):
    build(push=Stein(sigma=0.1)).fit(X, checkpoint=tmp_path)
    build(push=Stein(sigma=0.1)).fit(X, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="other push;"):
        build(push=Stein(sigma=0.2)).fit(X, checkpoint=tmp_path)


def backbone_of(width):
    def backbone(dim):
        return Coupling(dim, blocks=1, width=width)

    return backbone


def test_functions_of_one_name_are_told_apart(tmp_path):
    options = {"backbone_options": None, "members": 1, "max_steps": 1}
    build(backbone=backbone_of(4), **options).fit(X, checkpoint=tmp_path)
    build(backbone=backbone_of(4), **options).fit(X, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="other backbone;"):
        build(backbone=backbone_of(5), **options).fit(X, checkpoint=tmp_path)


def test_a_second_start_is_refused_and_the_first_goes_on(tmp_path, undisturbed, monkeypatch):
    from compactflow.training import checkpoints

    write, seconds = checkpoints.archive.write, []

    def start_again(path, *args):
        if not seconds:
            with pytest.raises(ValueError, match=r"'.*' is in use by another fit; wait") as caught:
                build().fit(X, checkpoint=tmp_path)
            seconds.append(caught)
        write(path, *args)

    monkeypatch.setattr(checkpoints.archive, "write", start_again)
    assert same(build().fit(X, checkpoint=tmp_path), undisturbed)
    assert seconds
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_fit_that_failed_gives_the_folder_back(tmp_path, monkeypatch, undisturbed):
    from compactflow.detector import fitting

    def fail(*args, **kwargs):
        raise RuntimeError("no luck")

    monkeypatch.setattr(fitting, "train", fail)
    with pytest.raises(RuntimeError, match="no luck"):  # and its traceback is kept
        build().fit(X, checkpoint=tmp_path)
    monkeypatch.undo()
    assert same(build().fit(X, checkpoint=tmp_path), undisturbed)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["identity"], 5),
        (["identity"], None),
        (["seed"], "x"),
        (["seed"], [1]),
        (["state"], 5),
        (["state"], {}),
        (["state", "step"], "x"),
        (["state", "run"], {}),
        (["state", "run", "model"], []),
        (["state", "run", "random"], 1.5),
        (["state", "run", "optimizer"], {"state": {}, "param_groups": []}),
        (["state", "run", "optimizer", "param_groups", 0, "lr"], "x"),
        (["state", "run", "optimizer", "state", 0, "exp_avg"], torch.zeros(1)),
        (["state", "run", "optimizer", "state", 0, "exp_avg_sq"], None),
        (["state", "run", "optimizer", "state", 0, "step"], torch.zeros(9)),
        (["state", "run", "schedule", "last_epoch"], []),
        (["state", "run", "schedule", "_schedule_phases"], [{}]),
    ],
)
def test_a_sealed_checkpoint_that_fits_nothing_is_refused(folder, tmp_path, keys, value):
    version, content = archive.read(folder / FILE, "checkpoint")
    *path, last = keys
    part = content
    for key in path:
        part = part[key]
    part[last] = value
    archive.write(tmp_path / FILE, "checkpoint", version, content)
    with pytest.raises(archive.ArchiveError, match="remove it to start anew"):
        build().fit(X, checkpoint=tmp_path)


def test_another_boundary_or_verbosity_is_the_same_run(folder):
    build(boundary="natural").fit(X, checkpoint=folder)


def test_a_damaged_checkpoint_is_refused(folder, tmp_path):
    data = (folder / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(data[:-1])
    with pytest.raises(ValueError, match=r"damaged.*remove it to start anew"):
        build().fit(X, checkpoint=tmp_path)
