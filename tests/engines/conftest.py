import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stand_ins import ROWS, Absent, Failing, OneByOne

import compactflow
from compactflow.plugins import EngineSpec, registry


@pytest.fixture(autouse=True)
def _small(small_default):
    """How large a network is makes no difference here."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A model, and rows in a folder of two files with several row groups each."""
    pd = pytest.importorskip("pandas")
    folder = tmp_path_factory.mktemp("scale")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 2)), columns=["heat", "rpm"])
    compactflow.build(max_steps=5, members=1, random_state=0).fit(X).save(folder / "pump.model")
    new = pa.table(
        {"rpm": rng.normal(size=ROWS), "id": np.arange(ROWS), "heat": 3 * rng.normal(size=ROWS)}
    )
    (folder / "new").mkdir()
    for i, part in enumerate((new.slice(0, 400), new.slice(400))):
        pq.write_table(part, folder / "new" / f"{i}.parquet", row_group_size=150)
    pq.write_table(new, folder / "new.parquet")
    return folder


@pytest.fixture
def own_engines():
    with registry.isolated():
        engines = {"one-by-one": OneByOne, "failing": Failing, "absent": Absent}
        for name, made in engines.items():
            target = f"{made.__module__}:{made.__name__}"
            compactflow.register(EngineSpec(name=name, target=target))
        yield
