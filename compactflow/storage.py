"""Fitted detectors on disk: one safetensors file, weights plus a JSON description. No pickle."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import compactflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from compactflow.estimator import OneClassFlow

__all__ = ["ModelFileError", "load", "save", "write_atomically"]

_FORMAT = "compactflow-model"
_FORMAT_VERSION = 1
_CALIBRATION = "calibration.scores"


class ModelFileError(ValueError):
    """A file is not a model that can be loaded."""


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], None]) -> None:
    """Write a file so that at any moment either the old or the new one is there, whole.

    Args:
        path: The file to make or replace.
        write: Writes the content to the temporary path it is given, in the same folder.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist; make it first")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; give this one the usual permissions.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save(detector: OneClassFlow, path: str | os.PathLike[str]) -> None:
    """Write a fitted detector to one file, atomically.

    Raises:
        ValueError: If a component was given as a class or an instance: a file holds names.
        FileNotFoundError: If the folder does not exist.
    """
    import torch
    from safetensors.torch import save_file

    params = detector.get_params(deep=False) | {"device": "auto", "verbose": False}
    for kind in ("backbone", "latent", "pull", "push"):
        if not isinstance(params[kind], str | None):
            raise ValueError(
                f"{kind} was given as {params[kind]!r}, and a model file names its "
                "components; register it (compactflow.register) and pass its name"
            )
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = None  # the state of a generator is not part of the model
    description = {
        "params": params,
        "n_features_in": detector.n_features_in_,
        "feature_names_in": [str(name) for name in getattr(detector, "feature_names_in_", [])],
        "offset": detector.offset_,
        "held_out": detector.calibration_.held_out,
        "pull_weight": detector.pull_.weight,
        # JSON has no NaN, which a diverged run leaves behind.
        "history": {
            name: [value if isfinite(value) else None for value in values]
            for name, values in detector.history_.items()
        },
    }
    header = {
        "format": _FORMAT,
        "format_version": str(_FORMAT_VERSION),
        "compactflow_version": compactflow.__version__,
        "description": json.dumps(description, allow_nan=False, default=_plain),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in detector.flow_.state_dict().items()
    }
    tensors[_CALIBRATION] = torch.from_numpy(detector.calibration_.scores)
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata=header))


def _plain(value: object) -> object:
    """JSON for numpy scalars and mappings among the options."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot save {value!r} in a model file; use numbers, strings and lists")


def load(path: str | os.PathLike[str], *, device: str = "auto") -> OneClassFlow:
    """Load a fitted detector that `OneClassFlow.save` wrote.

    Args:
        path: The model file.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"`` or another torch device name.

    Raises:
        FileNotFoundError: If there is no such file.
        ModelFileError: If the file is not a model, is damaged, or is of a newer format.
    """
    import numpy as np

    from compactflow.calibration import Calibration
    from compactflow.composition import compose, find_settings
    from compactflow.devices import find_device, move
    from compactflow.estimator import OneClassFlow
    from compactflow.preprocessing import Preprocessing

    tensors, saved = _read(path)
    try:
        detector = OneClassFlow(**saved["params"] | {"device": device})
        detector.n_features_in_ = saved["n_features_in"]
        if saved["feature_names_in"]:
            detector.feature_names_in_ = np.array(saved["feature_names_in"], dtype=object)
        identity = Preprocessing.identity(detector.n_features_in_)
        flow, pull, _ = compose(detector, find_settings(detector), identity)
        flow.to(tensors["preprocessing.mean"].dtype)
        scores = tensors.pop(_CALIBRATION).numpy()
        detector.calibration_ = Calibration(scores, saved["held_out"])
        flow.load_state_dict(tensors)
        detector.offset_ = saved["offset"]
        pull.weight = saved["pull_weight"]
        detector.history_ = {
            name: [nan if value is None else value for value in values]
            for name, values in saved["history"].items()
        }
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelFileError(f"{os.fspath(path)!r} does not describe a model: {error}") from error
    move(flow, find_device(device), tensors["preprocessing.mean"].dtype)
    detector.flow_, detector.pull_ = flow.eval(), pull.to(flow.latent.like)
    return detector


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read and check the tensors and the description of a model file.

    Raises:
        FileNotFoundError: If there is no such file.
        ModelFileError: If the file is not a model, is damaged, or is of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no model file {os.fspath(path)!r}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise ModelFileError(f"{os.fspath(path)!r} is not a compactflow model")
            version = int(header["format_version"])
            if version > _FORMAT_VERSION:
                raise ModelFileError(
                    f"{os.fspath(path)!r} has format {version}, but this compactflow "
                    f"{compactflow.__version__} reads formats up to {_FORMAT_VERSION}; upgrade it"
                )
            description = json.loads(header["description"])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ModelFileError(
            f"{os.fspath(path)!r} is not a compactflow model, or it is damaged: {error}"
        ) from error
