"""A detector as a model of MLflow, which takes this file and the detector's.

mlflow.pyfunc.log_model(
name="pump", python_model="mlflow_model.py", artifacts={"model": "pump.model"},
signature=infer_signature(X, scored),
)
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from compactflow.scoring import ArrowScorer


class Scorer(PythonModel):
    """Adds nothing but what MLflow calls."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Open the model, which may also be one in ONNX."""
        outputs = ["score", "outlier", "p_value"]
        self.scorer = ArrowScorer(context.artifacts["model"], outputs=outputs, keep=[])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ANN401
        """The outputs of rows, matched by their columns' names."""
        return self.scorer(pa.Table.from_pandas(model_input, preserve_index=False)).to_pandas()


set_model(Scorer())
