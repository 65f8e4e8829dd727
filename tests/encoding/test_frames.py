"""Tables of several libraries as Arrow's."""

from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from compactflow.encoding.encoder import TableEncoder

N = 200


def test_objects_of_pandas_are_words_and_names_are_there_once():
    intervals, periods = pd.cut(np.arange(N) % 9, 3), pd.period_range("2024", periods=N, freq="D")
    ids = [uuid4() for _ in range(N)]
    frame = pd.DataFrame({"in": intervals, "day": periods, "id": ids, "x": np.arange(N) % 7})
    said = TableEncoder.fit(frame)[0].describe()
    assert said["in"] == "category: 3 values"
    assert said["day"].startswith("date")
    assert said["id"].startswith("left out")
    with pytest.raises(ValueError, match="several columns named 'x'; rename them"):
        TableEncoder.fit(pd.concat([frame, frame], axis=1)[["x", "day"]])
    with pytest.raises(ValueError, match=r"'id' holds .*uuid.* drop it"):
        TableEncoder.fit(pa.table({"id": pa.array(ids), "x": frame["x"]}))
