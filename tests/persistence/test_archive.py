import json
import math
import os
import threading
from hashlib import sha256

import numpy as np
import pytest
import safetensors.torch
import torch

from compactflow.persistence import archive
from compactflow.persistence.archive import ArchiveError


def raw(header, body=b""):
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def seal(entry, tensors=None):
    """A file with a right checksum, whatever it says."""
    text = entry if isinstance(entry, str) else json.dumps(entry)
    text = '{"checksum": "' + "0" * 64 + '", ' + text[1:]
    data = safetensors.torch.save(tensors or {}, {"compactflow": text})
    return data.replace(b"0" * 64, sha256(data).hexdigest().encode())


def test_content_comes_back(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    content = {
        "tensors": [shared, shared.T, {"scalar": torch.tensor(1, dtype=torch.uint8)}],
        "numbers": [1, 0.1, True, None, math.inf, -math.inf],
        "items": {0: "a", 1: {"$float": "not a mark"}},
        "text": '"checksum": "' + "0" * 64,
        "numpy": [np.int64(3), np.float32(0.5)],
    }
    archive.write(tmp_path / "a", "thing", 3, content)
    version, found = archive.read(tmp_path / "a", "thing")
    assert version == 3
    (one, other, nested), (numbers, rest) = found.pop("tensors"), (found.pop("numbers"), found)
    assert torch.equal(one, shared)
    assert torch.equal(other, shared.T)
    assert nested["scalar"].dtype == torch.uint8
    assert numbers == content["numbers"]
    assert rest == {"items": content["items"], "text": content["text"], "numpy": [3, 0.5]}


def test_a_folder_holds_the_same_and_its_json_can_be_read(tmp_path):
    content = {"x": torch.ones(3), "name": "pump", "text": '"checksum": "' + "0" * 64}
    archive.write(tmp_path / "a", "thing", 3, content, folder=True)
    version, found = archive.read(tmp_path / "a", "thing")
    assert torch.equal(found.pop("x"), torch.ones(3))
    assert (version, found) == (3, {"name": "pump", "text": content["text"]})
    assert json.loads((tmp_path / "a" / "thing.json").read_text())["content"]["name"] == "pump"
    (weights,) = (tmp_path / "a").glob("*.safetensors")
    assert torch.equal(*safetensors.torch.load_file(weights).values(), torch.ones(3))


def test_a_folder_keeps_what_it_does_not_own(tmp_path):
    own = {"notes.txt", ".gitignore", "other.safetensors"}
    for name in own:
        (tmp_path / name).touch()
    (tmp_path / f".{'0' * 64}.safetensors.abc.safetensors").touch()  # a write that was killed
    for number in (1.0, 2.0):
        archive.write(tmp_path, "thing", 1, torch.tensor(number), folder=True)
        assert archive.read(tmp_path, "thing")[1] == number
        names = {path.name for path in tmp_path.iterdir()} - own
        assert len(names) == 2
        assert "thing.json" in names


@pytest.mark.parametrize("event", [1, 2])
def test_a_folder_that_is_half_written_is_the_old_one(tmp_path, monkeypatch, event):
    archive.write(tmp_path / "a", "thing", 1, torch.tensor(1.0), folder=True)
    calls = []

    def replace(source, target, original=os.replace):
        calls.append(target)
        if len(calls) == event:
            raise OSError("power cut")
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="power cut"):
        archive.write(tmp_path / "a", "thing", 1, torch.tensor(2.0), folder=True)
    assert archive.read(tmp_path / "a", "thing")[1] == 1


def seal_json(entry):
    text = json.dumps({"checksum": "0" * 64} | entry).encode()
    return text.replace(b"0" * 64, sha256(text).hexdigest().encode(), 1)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"tensors": "../weights"}, "not a checksum"),
        ({"tensors": 3}, "expected string"),
        ({"tensors": "1" * 64}, "is missing"),
        ({}, "tensors"),
        ({"tensors": "1" * 64, "kind": "checkpoint"}, "is a checkpoint, not a model"),
    ],
)
def test_hostile_folders_are_refused(tmp_path, entry, said):
    with pytest.raises(ArchiveError, match=r"has no model\.json"):
        archive.read(tmp_path, "model")
    (tmp_path / "model.json").write_bytes(seal_json(ENTRY | entry))
    with pytest.raises(ArchiveError, match=said):
        archive.read(tmp_path, "model")


def test_a_folder_that_cannot_be_filled_is_not_there(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(archive, "write_atomically", fail)
    with pytest.raises(OSError, match="No space left"):
        archive.write(tmp_path / "model", "model", 1, {}, folder=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        archive.write(tmp_path / "a", "thing", 1, {}, folder=True)


def test_nan_comes_back(tmp_path):
    archive.write(tmp_path / "a", "thing", 1, [math.nan])
    assert math.isnan(archive.read(tmp_path / "a", "thing")[1][0])


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        archive.write(tmp_path / name, "thing", 1, {"x": torch.zeros(3), "y": "text"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_tools_read_the_tensors(tmp_path):
    archive.write(tmp_path / "a", "thing", 1, {"x": torch.ones(3)})
    (tensor,) = safetensors.torch.load_file(tmp_path / "a").values()
    assert torch.equal(tensor, torch.ones(3))


def test_what_json_lacks_is_not_written(tmp_path):
    with pytest.raises(TypeError, match="thing/a/1"):
        archive.write(tmp_path / "a", "thing", 1, {"a": [0, object()]})
    assert not list(tmp_path.iterdir())


def test_another_kind_is_refused(tmp_path):
    archive.write(tmp_path / "a", "checkpoint", 1, {})
    with pytest.raises(ArchiveError, match="is a checkpoint, not a model"):
        archive.read(tmp_path / "a", "model")


ENTRY = {"kind": "model", "version": 1, "content": {}}
DEEP = '{"kind": "model", "version": 1, "content": ' + "[" * 100_000 + "]" * 100_000 + "}"

HOSTILE = {
    "empty": b"",
    "text": b"id,flow\n1,2\n",
    "header beyond the file": (2**63 - 1).to_bytes(8, "little") + b"{}",
    "header is no JSON": raw(b"\xff\xfe{}"),
    "header is a list": raw([]),
    "no metadata": raw({}),
    "metadata is a list": raw({"__metadata__": ["compactflow"]}),
    "no checksum": raw({"__metadata__": {"compactflow": json.dumps(ENTRY)}}),
    "wrong checksum": seal(ENTRY).replace(b'checksum\\": \\"', b'checksum\\": \\"0', 1),
    "huge shape": raw(
        {
            "__metadata__": {"format": "compactflow-model", "description": "{}"},
            "a": {"dtype": "F64", "shape": [2**40, 2**40], "data_offsets": [0, 8]},
        },
        bytes(8),
    ),
    "tensors overlap": raw(
        {
            "__metadata__": {"format": "compactflow-model", "description": "{}"},
            "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
            "b": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
        },
        bytes(8),
    ),
    "tensor given twice": raw(
        b'{"__metadata__": {"format": "compactflow-model", "description": "{}"}, '
        b'"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
        b'"a": {"dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}',
        bytes(4),
    ),
    "key given twice": seal('{"kind": "model", "kind": "model", "version": 1, "content": {}}'),
    "NaN in JSON": seal('{"kind": "model", "version": 1, "content": NaN}'),
    "entry is a list": seal('["checksum"]'),
    "entry misses a key": seal({"kind": "model", "version": 1}),
    "version is infinite": seal('{"kind": "model", "version": 1e999, "content": {}}'),
    "deep": seal(DEEP),
    "names an absent tensor": seal(ENTRY | {"content": {"$tensor": "a"}}),
    "names a tensor twice": seal(
        ENTRY | {"content": [{"$tensor": "a"}, {"$tensor": "a"}]}, {"a": torch.zeros(1)}
    ),
    "a tensor that is no part": seal(ENTRY, {"a": torch.zeros(1)}),
    "a list as key": seal(ENTRY | {"content": {"$items": [[[1], 2]]}}),
    "many empty lists": seal(ENTRY | {"content": [[]] * 10**5}),
    "many empty mappings": seal(ENTRY | {"content": [{}] * 10**5}),
    "many empty tensors": raw(
        {"__metadata__": {"format": "compactflow-model", "description": "{}"}}
        | {f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(10_000)}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    (tmp_path / "a").write_bytes(HOSTILE[name])
    with pytest.raises(ArchiveError, match=r"'.*a' is not a compactflow model"):
        archive.read(tmp_path / "a", "model")


def test_what_a_file_says_cannot_steer_the_terminal(tmp_path):
    (tmp_path / "a").write_bytes(seal(ENTRY | {"kind": "\x1b[2J" + "x" * 10**5}))
    with pytest.raises(ArchiveError) as caught:
        archive.read(tmp_path / "a", "model")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


def test_a_long_description_is_read(tmp_path):
    names = [f"feature, {i}: [unit]" for i in range(5_000)]
    for folder in (False, True):
        archive.write(tmp_path / f"{folder}", "thing", 1, names, folder=folder)
        assert archive.read(tmp_path / f"{folder}", "thing")[1] == names


def test_a_folder_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    archive.write(tmp_path / "a", "thing", 1, torch.tensor(1.0), folder=True)
    check, calls = archive._check_seal, []

    def replaced(*args):
        check(*args)
        calls.append(1)
        if len(calls) <= 3:
            archive.write(tmp_path / "a", "thing", 1, torch.tensor(2.0 + len(calls)), folder=True)

    monkeypatch.setattr(archive, "_check_seal", replaced)
    assert archive.read(tmp_path / "a", "thing")[1] == 5


def test_two_writers_of_a_folder_take_turns(tmp_path, monkeypatch):
    """The second begins while the first has only its tensors in place."""
    replace, seconds = os.replace, []

    def slow(source, target):
        replace(source, target)
        if not seconds:
            value = torch.tensor(2.0)
            second = threading.Thread(
                target=archive.write, args=(tmp_path, "thing", 1, value), kwargs={"folder": True}
            )
            seconds.append(second)
            second.start()
            second.join(0.2)  # it waits for the first; without a lock it is done by now

    monkeypatch.setattr(os, "replace", slow)
    archive.write(tmp_path, "thing", 1, torch.tensor(1.0), folder=True)
    seconds[0].join()
    assert archive.read(tmp_path, "thing")[1] == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_seal_of_this_test_is_right(tmp_path):
    (tmp_path / "a").write_bytes(seal(ENTRY | {"content": 5}))
    assert archive.read(tmp_path / "a", "model") == (1, 5)
