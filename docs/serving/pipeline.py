"""A pipeline of scikit-learn that ends in a detector, as one ONNX model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.pipeline import Pipeline


def export(pipeline: Pipeline, path: str, X: NDArray[np.float64]) -> None:
    """Write a fitted pipeline, from raw rows on.

    Args:
        pipeline: Its last step is a `compactflow.OneClassFlow`.
        path: The file to write. Its input is ``X``; outputs and metadata are the detector's.
        X: Some rows, ``(N, D)``, of float64, for the types of the steps before.
    """
    with tempfile.TemporaryDirectory() as folder:
        pipeline[-1].export(Path(folder, "detector.onnx"))
        detector = onnx.load(Path(folder, "detector.onnx"))
    before = to_onnx(pipeline[:-1], X, target_opset=18)
    before.ir_version = detector.ir_version
    del detector.graph.input[1:]  # the threshold, which keeps its value
    detector = onnx.compose.add_prefix(detector, "detector_", rename_outputs=False)
    join = [(before.graph.output[0].name, detector.graph.input[0].name)]
    onnx.save(onnx.compose.merge_models(before, detector, io_map=join), path)
