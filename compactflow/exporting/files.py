"""Exported detectors on disk: an ONNX file, or a program of torch (.pt2)."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from compactflow._version import __version__
from compactflow.devices import fresh_defaults
from compactflow.exporting.onnx import OPSET, to_onnx
from compactflow.exporting.program import ExportError, trace
from compactflow.files import check_replaceable, write_atomically
from compactflow.flows.ensemble import Ensemble

__all__ = ["export"]

Array = NDArray[np.float64]

_SUFFIXES = (".onnx", ".pt2")
_OUTPUTS = ("score", "outlier", "p_value")
_CHECKED = 64  # rows


def export(
    path: str | os.PathLike[str],
    ensemble: Ensemble,
    *,
    known: Array | None,
    features: Sequence[str],
    ranges: tuple[Array, Array] | None,
) -> None:
    """Write a fitted ensemble as one graph, from raw rows on, in float64.

    An ONNX model (``.onnx``) runs in ``onnxruntime`` without this package, torch or scikit-learn;
    a program (``.pt2``) where there is torch. Both take rows ``X``, ``(N, D)``, and a `threshold`,
    in ONNX by default the present boundary, and give, ``(N,)`` each: `score`, the signed distance;
    `outlier`, whether it is above 0; and `p_value`, if rows were held out. The names of the
    columns, the threshold and the ranges of training are in the metadata ``compactflow``, as JSON.

    The scores are the ensemble's own up to a billionth (of a score above 1), which is checked on
    some rows before an ONNX model is written, if ``onnxruntime`` is there.

    Args:
        path: The file to make or replace; its suffix says what to write.
        ensemble: The fitted flows; a copy in float64 on the CPU is written.
        known: The scores of held-out inliers, ``(M,)``, ascending; without them there are no
            p-values.
        features: The names of the columns, or none.
        ranges: The least and the largest value of each column in training, ``(D,)`` each.

    Raises:
        ValueError: If the suffix is another, or as `ExportError`.
        ExportError: If a component cannot be exported, or as a graph gives other scores.
        ImportError: If the packages that write ONNX are not installed.
        FileNotFoundError: If the folder does not exist.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{os.fspath(path)}: the name must end in {' or '.join(_SUFFIXES)}, which says what "
            "to write"
        )
    check_replaceable(path)
    with fresh_defaults():
        plain = ensemble.in_precision(torch.float64)
        plain.eval().place(torch.device("cpu"))
    outputs = _OUTPUTS[: 2 if known is None else 3]
    program = trace(plain, known)
    metadata: dict[str, Any] = {
        "format": 1,
        "version": __version__,
        "features": list(features),
        "dim": plain.dim,
        "threshold": plain.level,
        "held_out": 0 if known is None else len(known),
        "outputs": list(outputs),
    }
    if ranges is not None:
        metadata["ranges"] = [bound.tolist() for bound in ranges]
    if suffix == ".pt2":
        files = {"compactflow.json": json.dumps(metadata)}
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=files)
        data = buffer.getvalue()
    else:
        data = to_onnx(program, outputs, plain.level, metadata | {"opset": OPSET})
        _check(data, plain)

    def write(temporary: Path) -> None:
        temporary.write_bytes(data)

    write_atomically(path, write)


def _check(data: bytes, ensemble: Ensemble) -> None:
    """Check that a graph gives the ensemble's own scores, near the inliers and far away."""
    try:
        import onnxruntime
    except ImportError:  # it is for those who write only
        return
    near = ensemble.inliers(_CHECKED, seed=0)
    rows = np.concatenate([near, 1.5 * near, 1e6 * near])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # that the threshold is an input is as it should be
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        (got,) = session.run(["score"], {"X": rows})
    except Exception as error:
        raise ExportError(f"the graph of this detector does not run: {error}") from error
    with fresh_defaults():
        wanted = ensemble(torch.from_numpy(rows)).numpy()
    wrong = np.abs(got - wanted) > ensemble.rounding * np.maximum(1, np.abs(wanted))
    if wrong.any():
        raise ExportError(
            f"the backbone {type(ensemble.networks[0]).__name__} cannot be exported: as a graph "
            f"it scores {wrong.sum()} of {len(rows)} rows otherwise, by up to "
            f"{np.abs(got - wanted).max():.3g}"
        )
