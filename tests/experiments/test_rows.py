import numpy as np
import pandas as pd

from compactflow.experiments.rows import write_csv


def test_rows_of_results_come_back_and_hold_no_formulas(tmp_path):
    rows = [
        {"set": "=one", "auroc": np.float64(0.1) * 3, "steps": 1, "error": None, "note": None},
        {"set": "zwölf", "auroc": None, "steps": 2, "error": 'a, "b"', "note": None},
    ]
    write_csv(tmp_path / "rows.csv", rows)
    frame = pd.read_csv(tmp_path / "rows.csv", encoding="utf-8")
    assert frame["set"].tolist() == ["'=one", "zwölf"]
    assert frame["auroc"][0] == 0.1 * 3
    assert frame["auroc"].isna().tolist() == [False, True]
    assert frame["steps"].tolist() == [1, 2]
    assert frame["error"][1] == 'a, "b"'
    assert frame["note"].isna().all()
