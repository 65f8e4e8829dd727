import numpy as np
import pytest

from compactflow.experiments.samples import _MEASURES, _compare, measure, run


def save(path, n=120):
    X = np.random.default_rng(0).normal(size=(n, 3))
    np.savez(path, X=X, y=np.arange(n) < 10)


def test_draws_copies_and_others_are_told_apart():
    rng = np.random.default_rng(0)
    train, held_out, fresh = rng.normal(size=(3, 300, 2))
    alike, copies, others = (
        dict(zip(_MEASURES, _compare(samples, train, held_out, 0), strict=True))
        for samples in (fresh, train, 0.3 * fresh + 2)
    )
    assert alike["nearest"] == pytest.approx(1, abs=0.3)
    assert copies["nearest"] == 0
    assert (copies["deviation"], copies["energy"]) == (copies["deviation of training rows"], 1)
    assert copies["auroc"] == copies["auroc of training rows"] < 0.6
    assert alike["auroc"] < 0.6 < 0.95 < others["auroc"]
    assert others["energy"] > 10 * alike["energy"]
    assert others["deviation"] == pytest.approx(0.7, abs=0.1)
    halves = np.std(held_out[:150], axis=0) / np.std(held_out[150:], axis=0)
    assert alike["deviation of halves"] == pytest.approx(np.median(np.abs(halves - 1)), abs=1e-3)


def test_a_table_of_sets_is_written_and_errors_are_part_of_it(tmp_path):
    save(tmp_path / "a.npz")
    options = {"max_steps": 2, "members": 1, "score_by": None}
    row = measure(tmp_path / "a.npz", options, 0)
    assert row["rows"] == 55
    assert row["error"] is None
    assert np.isfinite([row["energy"], row["auroc"], row["nearest"]]).all()
    failed = measure(tmp_path / "a.npz", options | {"max_steps": -1}, 0)
    assert "max_steps" in failed["error"]


def test_no_such_folder_is_refused_before_any_work(tmp_path):
    with pytest.raises(FileNotFoundError):
        run([tmp_path / "none"], tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
