import json

import pytest
from benches import start

from compactflow.experiments.benchmark import runner
from compactflow.experiments.benchmark.journal import Journal, Task
from compactflow.experiments.benchmark.report import COLUMNS


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {**row, "auroc": "high"},
        lambda row: {**row, "auroc": None},
        lambda row: {**row, "n_test": 1.5},
        lambda row: {**row, "error": 3},
        lambda row: {**row, "seed": [0]},
        lambda row: {**row, "seed": True},
        lambda row: {**row, "set": {}},
        lambda row: {key: value for key, value in row.items() if key != "error"},
        lambda row: [row],
        lambda row: "row",
    ],
)
def test_a_damaged_result_counts_as_not_done(tmp_path, change):
    types = {"auroc": float, "n_test": int}
    task = Task("one", "KNN", 0, "hash", 1, "0.1")
    row = {**task._asdict(), "auroc": 0.5, "n_test": 7, "error": None}
    path = tmp_path / "journal.jsonl"
    lines = [json.dumps(change(row)), "[" * 100_000, '{"error": ' * 100_000, "\xff", ""]
    path.write_text("\n".join(lines))
    journal = Journal(path, types)
    assert journal.rows == {}
    assert journal.find_pending([task]) == [task]
    journal.append(row)
    failed = {**row, "seed": 1, "auroc": None, "error": "it failed"}
    journal.append(failed)
    again = Journal(path, types).rows
    assert list(again.values()) == [row, failed]


def test_journal_lines_are_self_contained(data, out):
    start(data, out, ["PCA"], seeds=1)
    line = json.loads((out / runner.JOURNAL).read_text().splitlines()[0])
    assert line["protocol"] == runner._PROTOCOL
    assert len(line["data"]) == 64
    assert line.keys() >= COLUMNS.keys()
