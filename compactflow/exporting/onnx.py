"""A traced detector as an ONNX file that describes itself."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from compactflow._version import __version__
from compactflow.exporting.program import PLAIN, ExportError, quietly
from compactflow.text import cause_of

if TYPE_CHECKING:
    import onnx
    from torch.export import ExportedProgram

__all__ = ["OPSET", "to_onnx"]

OPSET = 18
"""The version of the ONNX operators; runtimes since 2023 have it."""


def to_onnx(
    program: ExportedProgram,
    outputs: Sequence[str],
    threshold: float,
    metadata: Mapping[str, Any],
) -> bytes:
    """Translate a program of `compactflow.exporting.program.trace`.

    The model has the input ``X``, ``(rows, D)``, the optional input ``threshold``, and the outputs
    in `outputs`. Its metadata are under the key ``compactflow``, as JSON.

    Args:
        program: The program.
        outputs: The names of its outputs.
        threshold: The value of the threshold where none is given.
        metadata: What else to say of the model.

    Raises:
        ImportError: If the packages that write ONNX are not installed.
        ExportError: If the program has an operation that ONNX has not.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the export to ONNX needs {error.name}, which is not installed: "
            "pip install 'compactflow[onnx]'"
        ) from error
    _decompose_into_plain(program)
    said = io.StringIO()
    with quietly(), redirect_stdout(said), redirect_stderr(said):
        try:
            translated = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=["X", "threshold"],
                output_names=list(outputs),
                custom_translation_table={torch.ops.aten.scalar_tensor.default: _scalar},
                verbose=False,
                optimize=False,  # as runtimes do it too, and far faster
            )
            assert translated is not None
            model = translated.model_proto
        except Exception as error:
            last = error.__cause__ or error
            raise ExportError(f"this detector has no form in ONNX: {cause_of(last)}") from error
    _tidy(model)
    default = onnx.numpy_helper.from_array(np.array(threshold), "threshold")
    model.graph.initializer.append(default)
    model.metadata_props.add(key="compactflow", value=json.dumps(metadata))
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _decompose_into_plain(program: ExportedProgram) -> None:
    """Have what runtimes lack replaced where torch decomposes the program, which takes seconds."""
    decompose = program.run_decompositions

    def run(table: Mapping[Any, Any] | None = None) -> ExportedProgram:
        return decompose({**(table or {}), **PLAIN})

    program.run_decompositions = run


def _scalar(s: float, dtype: int, **_: object) -> Any:  # noqa: ANN401 - a value of onnxscript
    """A constant in its own precision; torch's translation takes it through float32."""
    import onnx
    from onnxscript import opset18

    value = np.array(s, onnx.helper.tensor_dtype_to_np_dtype(dtype))
    return opset18.Constant(value=onnx.numpy_helper.from_array(value))


def _tidy(model: onnx.ModelProto) -> None:
    """Leave out what torch says of where each node comes from, which names files."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for info in list(graph.value_info):
        graph.value_info.remove(info)
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "compactflow", __version__
