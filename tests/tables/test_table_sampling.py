import numpy as np
import pyarrow as pa
import pytest

from compactflow.tables import sample


def cut(rows, size):
    """Numbered rows in batches."""
    return (
        pa.record_batch({"i": np.arange(start, min(start + size, rows))})
        for start in range(0, rows, size)
    )


def drawn(rows, size, most, seed=0):
    batches, total = sample(cut(rows, size), most, seed)
    assert total == rows
    return np.concatenate([np.empty(0, int), *(batch.column(0).to_numpy() for batch in batches)])


def test_rows_keep_their_order_and_come_once():
    rows = drawn(5000, 170, 300)
    assert len(rows) == 300
    assert (np.diff(rows) > 0).all()


def test_the_same_rows_are_drawn_however_the_batches_are_cut():
    np.testing.assert_array_equal(drawn(5000, 170, 300), drawn(5000, 5000, 300))


@pytest.mark.parametrize(("rows", "most"), [(0, 3), (7, 7), (7, 100)])
def test_all_rows_stay_if_there_are_no_more(rows, most):
    np.testing.assert_array_equal(drawn(rows, 3, most), np.arange(rows))


def test_each_row_has_the_same_chance():
    counts = np.bincount(np.concatenate([drawn(40, 7, 4, seed) for seed in range(1000)]))
    assert len(counts) == 40
    assert np.abs(counts - 100).max() < 5 * np.sqrt(100 * 0.9)


def test_memory_holds_twice_the_sample_and_a_batch():
    held = []

    def watched():
        for batch in cut(100_000, 1000):
            held.append(pa.total_allocated_bytes())
            yield batch

    before = pa.total_allocated_bytes()
    sample(watched(), 500, 0)
    assert max(held) - before < 8 * (3 * 500 + 3 * 1000) + 100_000
