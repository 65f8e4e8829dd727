import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
import zuko
from brief import SMALL
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import compactflow
from compactflow import from_zuko
from compactflow.latents.gaussian import Gaussian
from compactflow.pushes.stein import Stein


def by_joblib(detector, folder):
    joblib.dump(detector, folder / "detector.joblib", compress=3)
    return joblib.load(folder / "detector.joblib")


COPIES = {
    "pickle": lambda detector, _: pickle.loads(pickle.dumps(detector)),
    "deepcopy": lambda detector, _: copy.deepcopy(detector),
    "joblib": by_joblib,
}


# Every way copies the same attributes, so one way does for unusual components.
@pytest.mark.parametrize(
    ("way", "options"),
    [
        *((way, {"backbone": "coupling", "members": 2}) for way in COPIES),
        ("pickle", {"backbone": "iresnet", "latent": "ball"}),
        ("pickle", {"backbone": "zuko:NSF", "latent": Gaussian, "push": "likelihood"}),
        ("pickle", {"backbone": "normflows:RealNVP", "push": Stein(sigma=0.2)}),
        ("pickle", {"backbone": from_zuko(zuko.flows.NICE(3))}),
    ],
)
def test_copies_decide_alike(way, options, X, tmp_path):
    backbone = options["backbone"]
    network = SMALL[backbone] if isinstance(backbone, str) else None
    detector = compactflow.build(
        **options, backbone_options=network, max_steps=1, random_state=0
    ).fit(X)
    copied = COPIES[way](detector, tmp_path)
    for method in ("predict", "signed_distance", "p_values", "sample"):
        given = (5, 0) if method == "sample" else (X,)
        np.testing.assert_array_equal(
            getattr(copied, method)(*given), getattr(detector, method)(*given)
        )
    copied.set_boundary(0.5)
    copied.fit(X[:50] + 1)
    assert detector.boundary is None
    assert (copied.signed_distance(X) != detector.signed_distance(X)).any()


def test_a_bridged_transform_can_be_pickled():
    transform = zuko.transforms.SoftclipTransform(bound=2.0)
    backbone = pickle.loads(pickle.dumps(from_zuko(transform, dim=2)))
    x = torch.tensor([[0.5, -1.0]])
    assert torch.equal(backbone(x), transform(x))


def test_a_clone_is_unfitted(detector):
    cloned = clone(detector)
    assert cloned.get_params() == detector.get_params()
    with pytest.raises(NotFittedError):
        cloned.predict(np.zeros((1, 3)))


@pytest.mark.slow
def test_other_processes_take_a_fitted_detector(detector, X, tmp_path):
    (tmp_path / "pickled").write_bytes(pickle.dumps(detector))
    detector.save(tmp_path / "saved")
    np.save(tmp_path / "X.npy", X)
    program = (
        "import pickle, sys, compactflow, numpy as np\n"
        "detectors = compactflow.load('saved'), pickle.load(open('pickled', 'rb'))\n"
        "X = np.load('X.npy')\n"
        "np.save('scores.npy', [detector.signed_distance(X) for detector in detectors])\n"
        "assert 'torch._dynamo' not in sys.modules, 'which takes seconds to import'"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    for scores in np.load(tmp_path / "scores.npy"):
        np.testing.assert_array_equal(scores, detector.signed_distance(X))
