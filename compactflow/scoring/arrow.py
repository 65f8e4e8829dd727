"""One scorer for programs, servers and engines: Arrow batches in, Arrow batches out."""

from __future__ import annotations

import logging
import os
import reprlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from compactflow.scoring.models import ScoringModel, open_model
from compactflow.tables.cells import describe, to_numbers
from compactflow.tables.dialect import TableError

__all__ = ["ArrowScorer"]

_log = logging.getLogger(__name__)

Batch = TypeVar("Batch", bound="pa.RecordBatch | pa.Table")

_EXPLANATION = pa.list_(
    pa.struct(
        {
            "feature": pa.string(),
            **dict.fromkeys(("value", "counterfactual", "deviation"), pa.float64()),
        }
    )
)
_TYPES = {
    "score": pa.float64(),
    "decision": pa.float64(),
    "outlier": pa.bool_(),
    "p_value": pa.float64(),
    "explanation": _EXPLANATION,
}


@final
class ArrowScorer:
    """Scores Arrow batches by a model that was saved, or exported to ONNX.

    It can be pickled and sent to other processes: it carries the model with it, and opens it when
    it is first called. For an ONNX model neither torch nor scikit-learn is imported.

    Args:
        model: The model file, or its content.
        columns: The columns that hold the features, in their order; by default those of the names
            that the model was fitted on.
        outputs: What to add: ``"score"``, the signed distance (at most 0 for inliers);
            ``"decision"``, minus that; ``"outlier"``; ``"p_value"``; and ``"explanation"``, for
            outliers a list of the features that set them apart, not with ONNX. Or a mapping of
            these to the names of the new columns.
        keep: The other columns that ride along; by default all, the features too.
        device: A torch device, or ``"auto"``; for a saved model.

    Attributes:
        digest: The SHA-256 of the model file, in hexadecimal digits.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an output is unknown.

    Examples:
        >>> import tempfile, pickle
        >>> import numpy as np, pandas as pd, pyarrow as pa
        >>> from compactflow import OneClassFlow
        >>> rows = np.random.default_rng(0).normal(size=(99, 2))
        >>> X = pd.DataFrame(rows, columns=["heat", "rpm"])
        >>> detector = OneClassFlow(max_steps=5, members=1, random_state=0).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     detector.save(f"{folder}/pump.model")
        ...     scorer = ArrowScorer(f"{folder}/pump.model", outputs=["outlier"])
        >>> batch = pa.record_batch({"id": ["a", "b"], "rpm": [0.1, 0.2], "heat": [0.0, 99.0]})
        >>> pickle.loads(pickle.dumps(scorer))(batch).select(["id", "outlier"]).to_pylist()
        [{'id': 'a', 'outlier': False}, {'id': 'b', 'outlier': True}]
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        columns: Sequence[str] | None = None,
        outputs: Sequence[str] | Mapping[str, str] = ("score", "outlier"),
        keep: Sequence[str] | None = None,
        device: str = "auto",
    ) -> None:
        unknown = [name for name in outputs if name not in _TYPES]
        if unknown:
            raise ValueError(f"outputs must be of {', '.join(_TYPES)}, got {unknown[0]!r}")
        self._data = model if isinstance(model, bytes) else _read(Path(model))
        self._name = "the model" if isinstance(model, bytes) else os.fspath(model)
        self._columns = None if columns is None else list(columns)
        self._outputs = (
            dict(outputs)
            if isinstance(outputs, Mapping)
            else dict(zip(outputs, outputs, strict=True))
        )
        self._keep = None if keep is None else list(keep)
        self._device = device
        self._model: ScoringModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_model": None}

    @property
    def digest(self) -> str:
        """The SHA-256 of the model file, in hexadecimal digits."""
        return sha256(self._data).hexdigest()

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Name and type of each column that is added."""
        return {name: _TYPES[output] for output, name in self._outputs.items()}

    def keeps(self, name: str) -> bool:
        """Whether a column rides along."""
        return self._keep is None or name in self._keep

    @property
    def columns(self) -> list[str]:
        """The columns that hold the features.

        Raises:
            ValueError: If the model has no names and none were given, or their number is wrong.
        """
        model = self.model
        columns = list(model.features) if self._columns is None else self._columns
        if not columns:
            raise ValueError(
                f"{self._name} was fitted on an array without column names, so columns cannot be "
                "matched; fit it on a table or a data frame, or in Python give columns="
            )
        if len(columns) != model.dim:
            raise ValueError(
                f"columns must name the {model.dim} features of {self._name}, got {len(columns)}"
            )
        return columns

    @property
    def model(self) -> ScoringModel:
        """The opened model.

        Raises:
            ValueError: If it is none, or cannot give an output that is asked for.
            ImportError: If ``onnxruntime`` is needed and not installed.
        """
        if self._model is None:
            model = open_model(self._data, self._name, self._device)
            _log.info("opened %s, SHA-256 %s", self._name, self.digest)
            for output in self._outputs:
                if _source(output) not in model.outputs:
                    raise ValueError(
                        f"{self._name} cannot give {output!r}, but {', '.join(model.outputs)}"
                    )
            self._model = model
        return self._model

    def __call__(self, batch: Batch) -> Batch:
        """Add the outputs to a batch or table, as new columns behind those that ride along.

        Raises:
            ValueError: If a column is missing, holds what is no finite number, or has the name of
                an output; or as for `columns` and `model`.
        """
        columns = self.columns
        kept = batch.schema.names if self._keep is None else self._keep
        counts = Counter(batch.schema.names)
        for name in dict.fromkeys([*columns, *kept]):
            if counts[name] != 1:
                has = "several columns" if counts[name] else "no column"
                raise TableError(f"the batch has {has} {name!r}, of {reprlib.repr(list(counts))}")
        clash = [name for name in kept if name in self._outputs.values()]
        if clash:
            raise TableError(
                f"the column {clash[0]!r} has the name of an output; rename it, or give outputs= "
                "a mapping to other names"
            )
        encoder, features = self.model.encoder, self.model.features
        if encoder is None:
            X = _matrix(batch, columns)
        else:
            cells = [batch.column(name) for name in columns]
            X = encoder.transform(pa.table(cells, names=list(features)))
        added = self.score(X)
        arrays = [batch.column(batch.schema.get_field_index(name)) for name in kept]
        fields = [batch.schema.field(name) for name in kept]
        fields += [pa.field(name, type_) for name, type_ in self.types.items()]
        schema = pa.schema(fields, metadata=batch.schema.metadata)
        return type(batch).from_arrays([*arrays, *added], schema=schema)

    def score(self, X: NDArray[np.float64]) -> list[pa.Array]:
        """The outputs alone, of the features ``(N, D)``, finite, N entries each."""
        wanted = {_source(output) for output in self._outputs}
        found: dict[str, Any] = dict.fromkeys(wanted, ())
        if len(X):
            found = self.model.run(X, wanted)
        if "decision" in self._outputs:
            found["decision"] = -np.asarray(found["score"], np.float64)
        return [pa.array(found[output], _TYPES[output]) for output in self._outputs]


def _source(output: str) -> str:
    return "score" if output == "decision" else output


def _read(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    from compactflow.detector.loading import load  # which says what is wrong with a folder

    with tempfile.TemporaryDirectory() as folder:
        load(path, device="cpu").save(f"{folder}/model")
        return Path(folder, "model").read_bytes()


def _matrix(batch: pa.RecordBatch | pa.Table, columns: Sequence[str]) -> NDArray[np.float64]:
    faults, numbers = {}, []
    for name in columns:
        column = batch.column(name)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        values, fault = to_numbers(column, 1, ".")
        if fault is not None:
            faults[name] = fault
        elif values is not None:
            numbers.append(values.to_numpy(zero_copy_only=False))
    if faults:
        raise TableError(describe(faults, drop=False, decimal="."))
    return np.column_stack(numbers)
