import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import compactflow
from compactflow.columns import names_of, select

FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0], "id": ["x", "y"]}, index=[7, 9])


class Polars:
    """What is needed of polars."""

    def __init__(self, frame):
        self.frame = frame
        self.columns = list(frame)

    def select(self, names):
        return Polars(self.frame[names])


@pytest.mark.parametrize("convert", [lambda f: f, pa.Table.from_pandas, Polars])
def test_columns_are_selected_by_name(convert):
    selected = select(convert(FRAME), ["b", "a"])
    names = selected.column_names if isinstance(selected, pa.Table) else list(selected.columns)
    assert names == ["b", "a"]


def test_what_does_not_go_is_left_for_others_to_refuse():
    for X in (np.eye(2), [[1, 2]], FRAME[["a"]], FRAME.set_axis(["a", "a", "b"], axis=1)):
        assert select(X, ["a", "b"]) is X
    assert select(FRAME) is FRAME


def test_the_index_of_an_arrow_table_is_no_feature():
    table = pa.Table.from_pandas(FRAME[["a", "b"]])
    assert "__index_level_0__" in table.column_names
    assert select(table).column_names == ["a", "b"]


def test_names_are_those_of_the_fit_or_numbered():
    assert names_of(object(), 2) == ["x0", "x1"]


@pytest.mark.parametrize("convert", [lambda f: f, pa.Table.from_pandas])
def test_python_takes_tables_as_the_shell_does(convert):
    X = np.random.default_rng(0).normal(size=(60, 2))
    frame = pd.DataFrame(X, columns=["a", "b"], index=np.arange(60) + 5)
    detector = compactflow.build(
        max_steps=1, members=1, backbone_options={"blocks": 1}, random_state=0
    ).fit(convert(frame))
    assert list(detector.feature_names_in_) == ["a", "b"]
    new = convert(frame[["b", "a"]].assign(id="x"))
    for method in ("signed_distance", "predict", "transform", "p_values"):
        expected = getattr(detector, method)(frame)
        np.testing.assert_array_equal(getattr(detector, method)(new), expected)
    with pytest.raises(ValueError, match="feature names"):
        detector.predict(convert(frame.rename(columns={"a": "z"})))
