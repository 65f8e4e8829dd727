"""Tensors and JSON values on disk: safetensors, sealed by a checksum. No pickle.

One file is safetensors with all that is not a tensor in its header, so that the same content gives
the same bytes. A folder has that as JSON to read, which names its file of tensors by its hash: the
new JSON, put in place at once, is what makes a new pair the valid one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from compactflow.files import locked, removed_if_empty, write_atomically
from compactflow.text import message_of, one_line

__all__ = ["ArchiveError", "check", "read", "write"]

# What is not a tensor is one JSON object, in a file one entry of the safetensors header. It begins
# with the checksum of the file that has zeros there.
_ENTRY = "compactflow"
_SEAL = b'"checksum": "'
_SEAL_IN_HEADER = b'\\"checksum\\": \\"'  # there it is JSON in JSON
_NO_CHECKSUM = "0" * 64

# The tensors of a folder are in a file whose name is its checksum.
_TENSORS = "{}.safetensors"

# Marks of what JSON does not have. Any other key that begins with "$" is written as an item.
_TENSOR, _FLOAT, _ITEMS = "$tensor", "$float", "$items"


# How many values a description may have, as each takes up to a hundred bytes of memory: so many,
# and one more per so many bytes of the whole file.
_VALUES = 20_000
_BYTES_PER_VALUE = 16


class ArchiveError(ValueError):
    """A file is not what it should be, is damaged, or is of a newer format."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))  # it may quote the file


def write(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    content: object,
    *,
    folder: bool = False,
) -> None:
    """Write nested mappings and lists of tensors, numbers, strings and ``None``, atomically.

    Args:
        path: The file to make or replace, or the folder to make or to put it in.
        kind: What the content is, checked by `read`.
        version: The version of the content's layout.
        content: What to write; tuples come back as lists, numpy scalars as Python's.
        folder: Whether to write a folder, with the tensors in a file of their own.

    Raises:
        TypeError: If the content has a value of another type.
        FileNotFoundError: If the folder to write in does not exist.
        FileExistsError: If a folder is to be written and there is a file.
    """
    tensors: dict[str, Tensor] = {}
    entry = {
        "checksum": _NO_CHECKSUM,
        "kind": kind,
        "version": version,
        "content": _pack(content, kind, tensors),
    }
    if folder:
        _write_folder(Path(path), entry, tensors)
    else:
        header = {_ENTRY: json.dumps(entry, allow_nan=False)}
        _write_bytes(path, _seal(safetensors.torch.save(tensors, header), _SEAL_IN_HEADER))


def check(value: object, name: str) -> None:
    """Check that `write` takes a value.

    Raises:
        TypeError: If it does not; the message calls the value by `name`.
    """
    _pack(value, name, {})


def read(path: str | os.PathLike[str], kind: str) -> tuple[int, Any]:
    """Read a file or folder of that kind: the version of its layout, and its content.

    Version 1 of a model, the one layout without a checksum, has the content
    ``{"description": ..., "tensors": ...}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If the file or folder is of another kind or is damaged.
    """
    path = Path(path)
    if not (path.is_file() or path.is_dir()):
        raise FileNotFoundError(f"there is no {kind} file {os.fspath(path)!r}")
    try:
        return (_read_folder if path.is_dir() else _read_file)(path, kind)
    except ArchiveError:
        raise
    except Exception as error:  # a hostile file can make parsing fail in any way
        raise ArchiveError(
            f"{os.fspath(path)!r} is not a compactflow {kind}, or it is damaged: "
            f"{message_of(error)}"
        ) from error


def _read_file(path: Path, kind: str) -> tuple[int, Any]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= size - 8:
            raise ValueError("its header is longer than the file")
        metadata = _parse(file.read(length).decode(), size).get("__metadata__", {})
        if _ENTRY not in metadata and metadata.get("format") != f"compactflow-{kind}":
            raise ArchiveError(f"{os.fspath(path)!r} is not a compactflow {kind}")
        file.seek(0)
        data = file.read()
    if _ENTRY not in metadata:
        description = _parse(metadata["description"], size)
        tensors = safetensors.torch.load(data)
        return int(metadata["format_version"]), {"description": description, "tensors": tensors}
    _check_seal(data, _SEAL_IN_HEADER)
    entry = _parse(metadata[_ENTRY], size)
    _check_kind(entry, path, kind)
    return _open(entry, data)


def _read_folder(path: Path, kind: str) -> tuple[int, Any]:
    description = path / f"{kind}.json"
    if not description.is_file():
        raise ArchiveError(
            f"{os.fspath(path)!r} is not a compactflow {kind}: it has no {kind}.json"
        )
    sealed = description.read_bytes()
    _check_seal(sealed, _SEAL)
    entry = _parse(sealed.decode(), len(sealed))
    _check_kind(entry, path, kind)
    checksum = entry["tensors"]
    if not re.fullmatch("[0-9a-f]{64}", checksum):
        raise ValueError(f"{checksum!r} is not a checksum")
    tensors = path / _TENSORS.format(checksum)
    try:
        if not tensors.is_file():
            raise FileNotFoundError
        data = tensors.read_bytes()
    except FileNotFoundError:
        if description.read_bytes() != sealed:  # another model has taken its place meanwhile
            return _read_folder(path, kind)
        raise ValueError(f"its file {tensors.name} is missing") from None
    if sha256(data).hexdigest() != checksum:
        raise ValueError(f"its file {tensors.name} was changed or cut short")
    return _open(entry, data)


def _open(entry: dict[str, Any], data: bytes) -> tuple[int, Any]:
    """Version and content of an entry and the safetensors file that belongs to it."""
    tensors = safetensors.torch.load(data)
    content = _unpack(entry["content"], tensors)
    if tensors:
        raise ValueError(f"it has the tensors {', '.join(map(repr, tensors))}, which are no part")
    return int(entry["version"]), content


def _check_kind(entry: dict[str, Any], path: Path, kind: str) -> None:
    if entry["kind"] != kind:
        raise ArchiveError(f"{os.fspath(path)!r} is a {entry['kind']}, not a {kind}")


def _write_folder(path: Path, entry: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    data = safetensors.torch.save(tensors)
    checksum = sha256(data).hexdigest()
    description = json.dumps(entry | {"tensors": checksum}, indent=1, allow_nan=False)
    names = _TENSORS.format(checksum), f"{entry['kind']}.json"
    own = re.compile(rf"[0-9a-f]{{64}}\.safetensors|\.([0-9a-f]{{64}}|{entry['kind']})\.\w+\..+")
    path.mkdir(exist_ok=True)
    # Another writer's files would be taken for leftovers.
    with removed_if_empty(path), locked(path / f".{entry['kind']}.lock", wait=True):
        _write_bytes(path / names[0], data)
        _write_bytes(path / names[1], _seal(description.encode(), _SEAL))
        # What was there before, or was left behind by a write that was killed.
        for other in path.iterdir():
            if own.fullmatch(other.name) and other.name not in names:
                other.unlink()


def _write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    def write_bytes(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomically(path, write_bytes)


def _seal(data: bytes, mark: bytes) -> bytes:
    """Data with their checksum in its place."""
    start, end = _checksum_place(data, mark)
    return data[:start] + sha256(data).hexdigest().encode() + data[end:]


def _check_seal(data: bytes, mark: bytes) -> None:
    start, end = _checksum_place(data, mark)
    digest = sha256(memoryview(data)[:start])
    digest.update(_NO_CHECKSUM.encode())
    digest.update(memoryview(data)[end:])
    if digest.hexdigest().encode() != data[start:end]:
        raise ValueError("its content does not match its checksum; it was changed or cut short")


def _checksum_place(data: bytes, mark: bytes) -> tuple[int, int]:
    """Where the checksum begins and ends. Its mark cannot be in an earlier or nested string."""
    start = data.index(mark) + len(mark)
    return start, start + len(_NO_CHECKSUM)


def _parse(text: str, size: int) -> Any:  # noqa: ANN401
    """Parse strict JSON: no duplicate keys, no NaN, and not too many values for a file's size."""
    if sum(map(text.count, "[{,:")) > _VALUES + size // _BYTES_PER_VALUE:
        raise ValueError("its description has more values than its size allows")
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _pack(value: object, name: str, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401
    """JSON for a value; its tensors go to `tensors`."""
    if isinstance(value, Tensor):
        # A copy, as tensors in a file may not share memory.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _pack(item, f"{name}/{key}", tensors) for key, item in value.items()}
        items = enumerate(value.items())
        return {_ITEMS: [_pack(item, f"{name}/{i}", tensors) for i, item in items]}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
    if isinstance(value, float) and not isfinite(value):
        return {_FLOAT: str(float(value))}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _pack(value.item(), name, tensors)
    raise TypeError(
        f"cannot write {name} = {value!r} to a file; use numbers, strings, lists, mappings and "
        "tensors"
    )


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:  # noqa: ANN401
    """Undo `_pack` in place, taking tensors out of `tensors`."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            value[i] = _unpack(item, tensors)
        return value
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors.pop(value[_TENSOR])
    if _FLOAT in value:
        return float(value[_FLOAT])
    if _ITEMS in value:
        return dict(_unpack(value[_ITEMS], tensors))
    for key, item in value.items():
        value[key] = _unpack(item, tensors)
    return value
