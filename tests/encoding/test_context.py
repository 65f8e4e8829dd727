"""Numbers judged given their context."""

import json

import numpy as np
import pandas as pd

import compactflow
from compactflow.encoding.encoder import TableEncoder
from compactflow.encoding.plain import of_plain, to_plain


def machines(rows, seed):
    rng = np.random.default_rng(seed)
    machine, load = rng.integers(0, 12, rows), rng.normal(size=rows)
    heat = 10.0 * machine + 2 * load + (1 + machine % 3) * rng.normal(size=rows)
    return pd.DataFrame({"machine": [f"m{i}" for i in machine], "load": load, "heat": heat})


def test_values_in_their_context_have_one_centre_and_spread_for_known_and_new_rows():
    encoder, codes = TableEncoder.fit(machines(600, 0), context=["machine", "load"])
    new = machines(3000, 1)
    again = of_plain(json.loads(json.dumps(to_plain(encoder))))
    assert encoder.columns == ["heat", "machine", "load"]
    assert encoder.titles == ["heat"]
    for z in (encoder.features(codes, own=True)[:, :1], again.transform(new)[:, :1]):
        assert abs(z.mean()) < 0.1
        assert 0.9 < z.std() < 1.15
    z, machine = again.transform(new)[:, 0], new["machine"]
    for name in ("m0", "m2", "m11"):
        assert abs(z[machine == name].mean()) < 0.35
        assert 0.75 < z[machine == name].std() < 1.35
    np.testing.assert_allclose(
        again.restore(again.transform(new), again.codes(again_table(new))[:, 1:])[:, 0],
        new["heat"],
    )


def again_table(frame):
    from compactflow.encoding.frames import as_arrow

    return as_arrow(frame)


def test_what_is_usual_elsewhere_is_an_outlier_here(tmp_path):
    train = machines(600, 0)
    detector = compactflow.build(context=["machine"], max_steps=20, members=2, random_state=0).fit(
        train
    )
    odd = pd.DataFrame({"machine": ["m3", "m3"], "load": [0.0, 0.0], "heat": [30.0, 60.0]})
    assert detector.predict(odd).tolist() == [1, -1]
    assert detector.columns_["machine"].startswith("context: category: 12 values")
    (record,) = detector.explain(odd).records(top=1)
    assert (record["row"], record["feature"], record["value"]) == (1, "heat", 60.0)
    assert 20 < record["counterfactual"] < 40
    detector.save(tmp_path / "model")
    loaded = compactflow.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.signed_distance(odd), detector.signed_distance(odd))
