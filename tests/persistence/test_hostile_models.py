"""Model files with a right seal and a wrong content: every one is refused as such, or works."""

import copy
from math import inf, nan

import numpy as np
import pytest
import torch

import compactflow
from compactflow.persistence import archive
from compactflow.persistence.archive import ArchiveError

X = np.random.default_rng(0).normal(size=(20, 2))
# Of the changes. So 43 places that follow each other meet all values, as the changes of a place
# are no multiple of it; and places of a kind, such as weights and options, are many.
STRIDE = 43

BAD = {
    "none": None,
    "true": True,
    "zero": 0,
    "minus one": -1,
    "two": 2,
    "beyond floats": 10**400,
    "beyond integers of tensors": 2**70,
    "half": 0.5,
    "nan": nan,
    "inf": inf,
    "empty text": "",
    "text": "x",
    "escape": "\x1b[2J",
    "surrogate": "\ud800",
    "module": "antigravity:Cube",
    "list": [],
    "nested list": [[]],
    "mapping": {},
    "keys of other types": {0: 1, None: 2, (1,): 3},
    "scalar": torch.tensor(1.0),
    "empty tensor": torch.zeros(0),
    "long tensor": torch.zeros(1000),
    "wide tensor": torch.zeros(3, 3, dtype=torch.float64),
    "nan tensor": torch.full((2,), nan),
    "integers": torch.zeros(2, dtype=torch.int64),
    "booleans": torch.zeros(2, dtype=torch.bool),
    "complex": torch.zeros(2, dtype=torch.complex64),
    "bfloat16": torch.zeros(2, dtype=torch.bfloat16),
}


def places(content, path=()):
    """The path to every value of a nested content, lists and tensors included."""
    if path:
        yield path
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*path, key))


def mutations(content):
    """Copies of a content, each with one change: a value replaced, removed, doubled or added."""

    def changed(path, change):
        whole = part = copy.copy(content)
        for key in path[:-1]:  # what is not on the way to the change is the content's own
            part[key] = copy.copy(part[key])
            part = part[key]
        change(part, path[-1])
        return whole

    for path in places(content):
        for name, value in BAD.items():
            yield (
                (path, name),
                lambda path=path, value=value: changed(
                    path, lambda part, key: part.__setitem__(key, copy.deepcopy(value))
                ),
            )
        yield (path, "removed"), lambda path=path: changed(path, lambda part, key: part.pop(key))
        yield (
            (path, "wrapped"),
            lambda path=path: changed(path, lambda part, key: part.__setitem__(key, [part[key]])),
        )
        yield (
            (path, "renamed"),
            lambda path=path: changed(
                path,
                lambda part, key: (
                    part.__setitem__(f"{key}_", part.pop(key))
                    if isinstance(part, dict)
                    else part.append(part[key])
                ),
            ),
        )


MODELS = {
    "default": {"members": 2, "backbone_options": {"blocks": 1, "width": 2}},
    "others": {
        "backbone": "zuko:NSF",
        "latent": "gaussian",
        "push": "likelihood",
        "boundary": "natural",
        "backbone_options": {"transforms": 1, "hidden_features": [2]},
    },
}


def test_the_changes_of_a_place_are_no_multiple_of_the_stride():
    changes = len(list(mutations({"a": 0})))
    assert changes % STRIDE


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    """The path and the content of a small model."""
    path = tmp_path_factory.mktemp("model") / "model"
    compactflow.build(**MODELS[request.param], max_steps=1, random_state=0).fit(X).save(path)
    return path, *archive.read(path, "model")


@pytest.mark.slow
def test_every_change_is_refused_or_harmless(model):
    path, version, content = model
    escaped, refused = {}, 0
    for number, (what, change) in enumerate(mutations(content)):
        if number % STRIDE:
            continue
        archive.write(path, "model", version, change())
        try:
            detector = compactflow.load(path, device="cpu")
        except ArchiveError as error:
            refused += 1
            if not str(error).isprintable():
                escaped[what] = repr(error)
            continue
        except Exception as error:
            escaped[what] = repr(error)
            continue
        try:  # it must not have kept anything that fails later
            assert detector.signed_distance(X).shape == (20,)
            assert detector.predict(X).shape == (20,)
            detector.save(path)
            compactflow.load(path, device="cpu")
        except Exception as error:
            escaped[what] = f"later: {error!r}"
    assert refused > 0.5 * (number // STRIDE)
    assert not escaped
