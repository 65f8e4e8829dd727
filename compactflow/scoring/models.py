"""Models that score arrays: a detector as it was saved, or exported to ONNX."""

from __future__ import annotations

import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from compactflow.detector.screening import Ranges
from compactflow.text import cause_of

if TYPE_CHECKING:
    from compactflow.encoding.encoder import TableEncoder

__all__ = ["Exported", "Saved", "ScoringModel", "open_model"]

Array = NDArray[np.float64]

_CHUNK = 2048  # rows at a time
_PROTOBUF = b"\x08"  # how an ONNX model begins: with its first field, a number


class ScoringModel(ABC):
    """What gives scores of rows.

    Attributes:
        features: The names of the columns, or none.
        dim: The number of features D.
        outputs: What it can give.
        ranges: The range of each column in training, if known.
    """

    features: Sequence[str]
    dim: int
    outputs: Collection[str]
    encoder: TableEncoder | None = None
    ranges: Ranges | None = None

    @abstractmethod
    def run(self, X: Array, outputs: Collection[str]) -> dict[str, Any]:
        """The outputs of rows ``(N, D)``, N ≥ 1, each of N entries."""


@final
class Exported(ScoringModel):
    """Runs an ONNX model that `OneClassFlow.export` wrote, in one thread, without torch.

    Args:
        data: The file's content.
        name: What errors call it.

    Raises:
        ImportError: If ``onnxruntime`` is not installed.
        ValueError: If it is no such model.
    """

    def __init__(self, data: bytes, name: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                "an ONNX model needs onnxruntime, which is not installed: "
                "pip install 'compactflow[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
            custom = self._session.get_modelmeta().custom_metadata_map
            self.metadata: dict[str, Any] = json.loads(custom["compactflow"])
            self.features = self.metadata["features"]
            self.dim = self.metadata["dim"]
            self.outputs = self.metadata["outputs"]
            if "ranges" in self.metadata:
                self.ranges = Ranges(*map(np.array, self.metadata["ranges"]))
        except Exception as error:
            raise ValueError(f"{name!r} is not an exported detector: {cause_of(error)}") from error

    def run(self, X: Array, outputs: Collection[str]) -> dict[str, Any]:
        """See `ScoringModel.run`."""
        names = list(outputs)
        parts = [
            self._session.run(names, {"X": X[start : start + _CHUNK]})
            for start in range(0, len(X), _CHUNK)
        ]
        return {name: np.concatenate(values) for name, *values in zip(names, *parts, strict=True)}


@final
class Saved(ScoringModel):
    """Runs a model that `OneClassFlow.save` wrote as one file.

    Args:
        data: The file's content.
        name: What errors call it.
        device: A torch device, or ``"auto"``.

    Raises:
        ValueError: If it is no such model.
    """

    def __init__(self, data: bytes, name: str, device: str = "auto") -> None:
        from compactflow.detector.loading import load  # and torch with it

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model")
            path.write_bytes(data)
            try:
                self.detector = load(path, device=device)
            except ValueError as error:
                message = str(error).replace(repr(os.fspath(path)), repr(name))
                raise type(error)(message) from error
        self.encoder = self.detector.encoder_
        self.features = [str(name) for name in getattr(self.detector, "feature_names_in_", ())]
        self.dim = self.detector.n_features_in_
        held_out = self.detector.calibration_.held_out
        self.outputs = ["score", "outlier", *(["p_value"] * held_out)]
        if self.encoder is None:  # whose explanations have words for values
            self.outputs.append("explanation")
        self.ranges = self.detector.ranges_

    def run(self, X: Array, outputs: Collection[str]) -> dict[str, Any]:
        """See `ScoringModel.run`."""
        ensemble = self.detector.ensemble_
        score = ensemble.signed_distance(X)
        found: dict[str, Any] = {"score": score, "outlier": score > 0}
        if "p_value" in outputs:
            found["p_value"] = self.detector.calibration_.p_values(
                score + ensemble.level, rounding=ensemble.rounding
            )
        if "explanation" in outputs:
            found["explanation"] = self._explain(X, score > 0)
        return {name: found[name] for name in outputs}

    def _explain(self, X: Array, outlier: NDArray[np.bool_]) -> list[list[dict[str, Any]] | None]:
        from compactflow.detector.explanation import explain

        explained: list[list[dict[str, Any]] | None] = [None] * len(X)
        rows = np.flatnonzero(outlier)
        if len(rows):
            for i in rows:
                explained[i] = []
            found = explain(self.detector.ensemble_, X[rows], self.features or None)
            for record in found.records():
                cell = explained[rows[record["row"]]]
                assert cell is not None
                cell.append(record)
        return explained


@lru_cache(maxsize=1)  # a worker gets a scorer of the same model with each task
def open_model(data: bytes, name: str, device: str = "auto") -> ScoringModel:
    """The model in a file's content, of either kind.

    Args:
        data: The content.
        name: What errors call the file.
        device: A torch device, or ``"auto"``; for a saved model.

    Raises:
        ImportError: If ``onnxruntime`` is not installed, for an ONNX model.
        ValueError: If it is no model, or the device is unknown.
    """
    # A saved model has, after a length of 8 bytes, the header of safetensors, which is JSON.
    exported = data[:1] == _PROTOBUF and data[8:9] != b"{"
    return Exported(data, name) if exported else Saved(data, name, device)
